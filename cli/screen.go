package cli

import (
	"io"
	"strings"

	"golang.org/x/term"
)

// The codes with which a terminal draws over what it shows.
const (
	cursorHome   = "\x1b[H"
	restOfLine   = "\x1b[K"
	restOfScreen = "\x1b[J"
)

// screen shows one picture after the other: on a terminal in place of the one
// before and without a moment of nothing, elsewhere below it.
type screen struct {
	out  io.Writer
	last string
}

func (s *screen) show(picture string) error {
	if picture == s.last {
		return nil
	}
	text := picture
	if isTerminal(s.out) {
		text = cursorHome + strings.ReplaceAll(s.clip(picture), "\n", restOfLine+"\n") + restOfScreen
	} else if s.last != "" {
		text = "\n" + picture
	}
	s.last = picture
	_, err := io.WriteString(s.out, text)
	return err
}

// clip leaves out the lines for which the terminal has no room.
func (s *screen) clip(picture string) string {
	file, ok := s.out.(terminal)
	if !ok {
		return picture
	}
	_, height, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return picture
	}
	lines := strings.SplitAfter(picture, "\n")
	return strings.Join(lines[:min(len(lines), max(1, height-1))], "")
}

// terminal is what a file of the operating system can tell.
type terminal interface{ Fd() uintptr }

func isTerminal(w io.Writer) bool {
	file, ok := w.(terminal)
	return ok && term.IsTerminal(int(file.Fd()))
}
