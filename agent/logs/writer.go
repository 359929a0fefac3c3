package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// Writer appends to a stream and rotates its files. A line of up to 64 KiB, or
// an eighth of SizeMax when that is less, always lands in one file.
//
// One goroutine may write; Dropped may be called from any.
type Writer struct {
	cfg  Config
	soft int64 // at this size the file is rotated as soon as a line ends

	file    *os.File // nil when nothing was written yet, or it could not be opened
	size    int64
	midLine bool  // the last byte kept was not a line's end
	missed  int64 // bytes dropped since the last one kept
	dropped atomic.Int64
}

// Open returns a Writer that goes on where the stream's files end. That it cannot open the
// file that is there is the only error there ever is. The folder and a file are made when
// something is written: many short tasks say nothing.
func Open(cfg Config) (*Writer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("log config: %w", err)
	}
	w := &Writer{
		cfg:  cfg,
		soft: cfg.SizeMax - min(lineMax, cfg.SizeMax/8),
	}
	if err := w.reopen(0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return w, nil
}

// Write keeps p, or drops and counts what cannot be kept. It returns len(p)
// and no error, whatever happens.
func (w *Writer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, full := w.cut(rest)
		w.append(rest[:n])
		rest = rest[n:]
		if !full {
			continue
		}
		if w.rotate(); w.size >= w.cfg.SizeMax { // nothing could be moved or emptied
			w.drop(int64(len(rest)))
			break
		}
	}
	return len(p), nil
}

// Dropped returns how many bytes could not be written since Open.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close ends the stream. What was written is with the operating system.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// cut returns how much of p goes into the current file, and whether the file is
// then full: up to the first line end past the soft limit. A line that goes from
// there beyond SizeMax is too long to be kept whole and is broken there, so that
// every file but the newest is nearly full.
func (w *Writer) cut(p []byte) (n int, full bool) {
	if w.size+int64(len(p)) <= w.soft {
		return len(p), false
	}
	room := int(min(max(w.cfg.SizeMax-w.size, 0), int64(len(p))))
	early := int(min(max(w.soft-w.size, 0), int64(room)))
	if end := bytes.IndexByte(p[early:room], '\n'); end >= 0 {
		return early + end + 1, true
	}
	if w.size+int64(len(p)) <= w.cfg.SizeMax {
		return len(p), false
	}
	return room, true
}

// append writes p to the current file and counts what it could not.
func (w *Writer) append(p []byte) {
	if len(p) == 0 {
		return
	}
	if w.file == nil && w.reopen(os.O_CREATE) != nil {
		w.drop(int64(len(p)))
		return
	}
	if w.missed > 0 {
		w.mark()
	}
	n, err := w.file.Write(p)
	if n > 0 {
		w.size += int64(n)
		w.midLine = p[n-1] != '\n'
	}
	if err != nil {
		w.drop(int64(len(p) - n))
	}
}

func (w *Writer) drop(n int64) {
	w.missed += n
	w.dropped.Add(n)
}

// mark tells the reader of a gap in a line of its own.
func (w *Writer) mark() {
	note := fmt.Sprintf("[aloft: %d bytes were lost here; the log could not be written]\n", w.missed)
	if w.midLine {
		note = "\n" + note
	}
	n, err := io.WriteString(w.file, note)
	w.size += int64(n)
	if err != nil {
		w.midLine = w.midLine || n > 0
		return
	}
	w.midLine = false
	w.missed = 0
}

// rotate moves every file up by one, the last one out, and begins a new one.
// When the current file cannot be moved, it is emptied: the bound holds.
func (w *Writer) rotate() {
	if w.file != nil {
		_ = w.file.Close() // it was appended to; there is nothing left to flush
		w.file = nil
	}
	path := func(n int) string { return filePath(w.cfg.Dir, w.cfg.Name, n) }
	_ = os.Remove(path(w.cfg.FilesMax - 1)) // the renames below tell of what matters
	for n := w.cfg.FilesMax - 2; n >= 0; n-- {
		err := os.Rename(path(n), path(n+1))
		if err != nil && n == 0 && !errors.Is(err, os.ErrNotExist) {
			w.drop(w.size)
			_ = os.Truncate(path(0), 0) // without it the next append is dropped and counted
		}
	}
	w.size = 0
	w.midLine = false
	_ = w.reopen(os.O_CREATE) // the next write tries again
}

// reopen takes up the stream's current file, or makes one with os.O_CREATE.
func (w *Writer) reopen(create int) error {
	if create != 0 {
		if err := MakeFolder(w.cfg.Dir); err != nil {
			return err
		}
	}
	opened, err := os.OpenFile(filePath(w.cfg.Dir, w.cfg.Name, 0), create|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("look at log: %w", err), opened.Close())
	}
	w.file, w.size = opened, info.Size()
	w.midLine = w.size > 0
	return nil
}
