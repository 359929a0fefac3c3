package agent

import (
	"bytes"
	"context"
	"slices"
	"strings"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Bounds of a batch of lines, in bytes. A longer line is sent in pieces.
const (
	lineBytesMax  = 64 << 10
	batchBytesMax = 256 << 10
)

// lineSender cuts what is written to it into lines and sends them on. What is
// no UTF-8 is replaced: a message cannot carry it.
type lineSender struct {
	ctx     context.Context //nolint:containedctx // an io.Writer has no other way to be told
	task    string
	stream  string
	batches chan<- []*pb.LogLine
	rest    []byte // the beginning of a line
}

// Write sends the lines that p completes.
func (w *lineSender) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	var lines []string
	from := 0
	for {
		line, _, ended := bytes.Cut(w.rest[from:], []byte{'\n'})
		if !ended && len(line) < lineBytesMax {
			break
		}
		size := min(len(line), lineBytesMax)
		lines = append(lines, string(line[:size]))
		from += size
		if ended && size == len(line) {
			from++
		}
	}
	w.rest = slices.Delete(w.rest, 0, from)
	return len(p), w.send(lines)
}

// flush sends a last line that has no end.
func (w *lineSender) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	return w.send([]string{string(w.rest)})
}

// send sends lines in batches of bounded size.
func (w *lineSender) send(lines []string) error {
	var batch []*pb.LogLine
	size := 0
	for i, line := range lines {
		batch = append(batch, &pb.LogLine{Task: w.task, Stream: w.stream, Text: strings.ToValidUTF8(line, "\uFFFD")})
		size += len(line)
		if size < batchBytesMax && i < len(lines)-1 {
			continue
		}
		select {
		case w.batches <- batch:
			batch, size = nil, 0
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
	}
	return nil
}
