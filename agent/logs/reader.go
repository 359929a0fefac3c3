package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what Tail returns.
const (
	TailLinesMax = 10_000
	TailLineMax  = 4 << 10 // bytes of one line; the rest of it is left out
)

// followEvery is how often Follow looks for more: one stat, cheap enough to do
// without inotify and its limits per user.
const followEvery = 100 * time.Millisecond

// Tail returns the last lines of a stream, oldest first and without their
// ends, up to TailLinesMax. A line longer than TailLineMax is clipped. A stream
// that does not exist has no lines.
func Tail(dir, stream string, lines int) ([]string, error) {
	row, err := openRow(dir, stream, nil)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer row.close()
	if err := row.seekLines(min(lines, TailLinesMax)); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	var tail lineCollector
	if err := row.copyTo(&tail); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	found := tail.finish()
	return found[max(0, len(found)-min(lines, TailLinesMax)):], nil // more were written meanwhile
}

// Follow copies a stream to w as it grows, across rotations, beginning with
// its last lines; a negative number means all that there is. When ctx is done
// it copies what is there and returns nil; it returns the first error of w.
//
// A reader slower than the task may find that files it had not begun are gone;
// it goes on with the oldest one left.
func Follow(ctx context.Context, dir, stream string, lines int, w io.Writer) error {
	row, err := openRow(dir, stream, nil)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { row.close() }()
	if lines >= 0 {
		if err := row.seekLines(lines); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	due := time.NewTicker(followEvery)
	defer due.Stop()
	for last := false; ; {
		if err := row.advance(dir, stream, w); err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if last {
			return nil
		}
		select {
		case <-due.C:
		case <-ctx.Done():
			last = true
		}
	}
}

// row is a stream's files, opened, oldest first. Each is read from its offset.
type row []*os.File

// openRow opens the files of a stream that are newer than after, or all when
// after is nil or is not among them. It goes from the newest to older ones, so
// that a rotation meanwhile shows a file twice and hides none.
func openRow(dir, stream string, after os.FileInfo) (row, error) {
	var newestFirst []*os.File
	var known []os.FileInfo
	for n := 0; ; n++ {
		opened, err := os.Open(filePath(dir, stream, n))
		if errors.Is(err, fs.ErrNotExist) && (n == 0 || goesOn(dir, stream, n)) {
			continue // a rotation is between a rename and what comes to that place
		}
		if errors.Is(err, fs.ErrNotExist) {
			return reversed(newestFirst), nil
		}
		if err != nil {
			reversed(newestFirst).close()
			return nil, err
		}
		info, err := opened.Stat()
		if err != nil {
			reversed(append(newestFirst, opened)).close()
			return nil, err
		}
		if after != nil && os.SameFile(info, after) {
			_ = opened.Close() // read only
			return reversed(newestFirst), nil
		}
		if slices.ContainsFunc(known, func(k os.FileInfo) bool { return os.SameFile(info, k) }) {
			_ = opened.Close() // read only
			continue
		}
		known = append(known, info)
		newestFirst = append(newestFirst, opened)
	}
}

// goesOn reports whether a stream has files beyond the one with that number.
func goesOn(dir, stream string, n int) bool {
	entries, _ := os.ReadDir(dir) // what cannot be read has none
	return slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		number, ours := strings.CutPrefix(entry.Name(), stream+".")
		number, named := strings.CutSuffix(number, ".log")
		at, err := strconv.Atoi(number)
		return ours && named && err == nil && at > n
	})
}

func reversed(files []*os.File) row {
	turned := make(row, len(files))
	for i, f := range files {
		turned[len(files)-1-i] = f
	}
	return turned
}

func (r row) close() {
	for _, f := range r {
		_ = f.Close() // read only
	}
}

// seekLines sets the offsets so that only the last lines remain to be read.
func (r row) seekLines(lines int) error {
	ends := lines // line ends still to be passed, going back
	atEnd := true // nothing was seen yet: a line end here ends the last line
	for i, file := range slices.Backward(r) {
		offset, left, err := seekBack(file, ends, atEnd)
		if err != nil {
			return err
		}
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
		if offset > 0 || left == 0 && lines == 0 {
			return r.skipBefore(i)
		}
		if info, err := file.Stat(); err == nil && info.Size() > 0 {
			atEnd = false
		}
		ends = left
	}
	return nil
}

// skipBefore marks the files older than r[i] as read.
func (r row) skipBefore(i int) error {
	for _, older := range r[:i] {
		if _, err := older.Seek(0, io.SeekEnd); err != nil {
			return err
		}
	}
	return nil
}

// seekBack returns the offset in f at which the last lines begin, and how many
// lines are still wanted from older files when f holds fewer.
func seekBack(f *os.File, lines int, atEnd bool) (offset int64, left int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, lines, err
	}
	if lines == 0 && atEnd {
		return info.Size(), 0, nil
	}
	block := make([]byte, lineMax)
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(block)))
		if _, err := f.ReadAt(block[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, lines, err
		}
		for i := n - 1; i >= 0; i-- {
			if block[i] == '\n' && !atEnd {
				if lines--; lines == 0 {
					return end - n + i + 1, 0, nil
				}
			}
			atEnd = false
		}
		end -= n
	}
	return 0, lines, nil
}

// copyTo copies all that is left in the files to w, in order.
func (r row) copyTo(w io.Writer) error {
	for _, f := range r {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
	}
	return nil
}

// advance copies what is new to w, and leaves the row with the file that is
// written now.
func (r *row) advance(dir, stream string, w io.Writer) error {
	if err := r.copyTo(w); err != nil {
		return err
	}
	var newest os.FileInfo
	if len(*r) > 0 {
		info, err := r.rewound()
		if err != nil {
			return err
		}
		newest = info
		if !rotated(dir, stream, newest) {
			r.keepNewest()
			return nil
		}
	}
	newer, err := openRow(dir, stream, newest)
	if err != nil {
		return err
	}
	*r = append(*r, newer...)
	if err := r.copyTo(w); err != nil { // what was appended before the rotation comes first
		return err
	}
	r.keepNewest()
	return nil
}

// rotated reports whether a stream is written to another file than newest. In
// the middle of a rotation it does not say so yet; the next look will.
func rotated(dir, stream string, newest os.FileInfo) bool {
	current, err := os.Stat(filePath(dir, stream, 0))
	return err == nil && !os.SameFile(current, newest)
}

// rewound returns the newest file's facts, and goes back to its beginning when
// it became shorter than what was read of it.
func (r row) rewound() (os.FileInfo, error) {
	f := r[len(r)-1]
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	read, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if read > info.Size() {
		_, err = f.Seek(0, io.SeekStart)
	}
	return info, err
}

func (r *row) keepNewest() {
	if len(*r) > 1 {
		(*r)[:len(*r)-1].close()
		*r = (*r)[len(*r)-1:]
	}
}

// lineCollector splits what is written to it into clipped lines.
type lineCollector struct {
	lines   []string
	current []byte
	started bool
}

func (c *lineCollector) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		c.started = true
		c.current = append(c.current, line[:min(len(line), TailLineMax-len(c.current))]...)
		if ended {
			c.finish()
		}
		rest = after
	}
	return len(p), nil
}

// finish ends the current line and returns all lines.
func (c *lineCollector) finish() []string {
	if c.started {
		c.lines = append(c.lines, string(c.current))
		c.current, c.started = c.current[:0], false
	}
	return c.lines
}
