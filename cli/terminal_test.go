package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/cli"
)

// openTerminal returns a terminal of 80 columns, and a function that closes it
// and returns all that was written to it.
func openTerminal(t *testing.T) (tty *os.File, shown func() string) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	fd := int(keyboard.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	read := make(chan struct{})
	go func() { // ends when the terminal is closed
		defer close(read)
		_, _ = io.Copy(&screen, keyboard)
	}()
	return tty, func() string {
		_ = tty.Close()
		<-read
		_ = keyboard.Close()
		return screen.String()
	}
}

// executeOn carries out a command line with its output on a terminal.
func (f *fake) executeOn(ctx context.Context, tty *os.File, args ...string) (code int, errText string) {
	var errOut bytes.Buffer
	root := cli.New(cli.Config{Version: "v1.2.3", In: strings.NewReader(""), Out: tty, Err: &errOut, Now: f.clock.time})
	root.SetArgs(append([]string{"--addr", f.url}, args...))
	code = cli.Execute(ctx, root, &errOut)
	return code, errOut.String()
}

// On a terminal a deployment is drawn in place, ends with its outcome, and leaves
// the terminal as it was. Nothing is asked of it: an answer would be typed into
// the shell.
func TestDeployOnATerminal(t *testing.T) {
	t.Parallel()
	tty, shown := openTerminal(t)
	f := startFake(t, map[string][]string{"Deploy": {accepted}, "Watch": {settled}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	code, errText := f.executeOn(ctx, tty, "deploy", "testdata/spec/web.yaml")

	text := shown()
	if code != cli.ExitOK || errText != "" {
		t.Errorf("exit %d, stderr %q", code, errText)
	}
	for _, part := range []string{"✓", "web: revision 4 is in service, 2 ready, 2.3s", "\x1b[?25h"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %q", part, text)
		}
	}
	for _, question := range []string{"\x1b[c", "\x1b[6n", "\x1b[>", "\x1b]11;?", "\x1bP", "$p", "\x1b[?u"} {
		if strings.Contains(text, question) {
			t.Errorf("the question %q in %q", question, text)
		}
	}
}

// A terminal that cannot move its cursor gets lines.
func TestDeployOnADumbTerminal(t *testing.T) {
	t.Setenv("TERM", "dumb")
	tty, shown := openTerminal(t)
	f := startFake(t, map[string][]string{"Deploy": {accepted}, "Watch": {settled}})

	code, _ := f.executeOn(t.Context(), tty, "deploy", "testdata/spec/web.yaml")

	text := shown()
	if code != cli.ExitOK || strings.Contains(text, "\x1b") || !strings.Contains(text, "web: revision 4 is in service, 2 ready, 2.3s\r\n") {
		t.Errorf("exit %d, %q", code, text)
	}
}

// On a terminal each picture is drawn over the one before.
func TestStatusWatchOnATerminal(t *testing.T) {
	t.Parallel()
	tty, shown := openTerminal(t)
	tall := strings.Repeat(`{"id": "web-3-5", "status": {"state": "TASK_STATE_READY"}},`, 40)
	view := func(ready string) string {
		return `{"service": {"service": {"name": "web", "kind": "SPEC_KIND_SERVICE", "revision": "3"}, "state": "running", "wanted": 2, "ready": ` + ready +
			`, "tasks": [` + strings.TrimSuffix(tall, ",") + `]}}`
	}
	f := startFake(t, map[string][]string{"GetService": {view("1"), view("2")}, "Watch": {
		script(seen(service(3, "")), "asked GetService 2", "interrupt"),
	}})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	f.interrupt = interrupt

	code, _ := f.executeOn(ctx, tty, "status", "-w", "web")

	pictures := strings.Split(shown(), "\x1b[H")
	if code != cli.ExitInterrupted || len(pictures) < 2 || pictures[0] != "" {
		t.Fatalf("exit %d, %d pictures: %q", code, len(pictures), pictures)
	}
	for _, picture := range pictures[1:] {
		if lines := strings.Count(picture, "\n"); lines != 23 || !strings.HasSuffix(picture, "\x1b[J") {
			t.Errorf("a picture of %d lines on a terminal of 24: %q", lines, picture)
		}
	}
}

// On a terminal an open breaker is red.
func TestOpenBreakerOnATerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	tty, shown := openTerminal(t)
	f := startFake(t, nil)

	code, errText := f.executeOn(t.Context(), tty, "status")

	text := shown()
	if code != cli.ExitOK || errText != "" || !strings.Contains(text, "\x1b[1;31mbreaker: open for 2h, 2 of 5 agents are missing") {
		t.Errorf("exit %d, stderr %q, %q", code, errText, text)
	}
}
