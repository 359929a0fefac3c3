package telemetry_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/telemetry"
)

func TestLevels(t *testing.T) {
	t.Parallel()
	tests := map[string]string{ // what is written from a level on
		"debug": "debug info warn error ",
		"info":  "info warn error ",
		"Warn":  "warn error ",
		"ERROR": "error ",
	}
	for level, want := range tests {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			log, err := telemetry.NewLogger(&text, level)
			if err != nil {
				t.Fatal(err)
			}

			log.DebugContext(t.Context(), "debug")
			log.InfoContext(t.Context(), "info")
			log.WarnContext(t.Context(), "warn")
			log.ErrorContext(t.Context(), "error")

			if got := messages(t, &text); got != want {
				t.Errorf("wrote %q, want %q", got, want)
			}
		})
	}
}

// messages returns the messages of a log in JSON.
func messages(t *testing.T, text *bytes.Buffer) (all string) {
	t.Helper()
	for line := range strings.Lines(text.String()) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all += entry.Msg + " "
	}
	return all
}

func TestUnknownLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"", "loud", "2"} {
		log, err := telemetry.NewLogger(os.Stderr, level)

		if want := `found ` + strconv.Quote(level) + `; want debug, info, warn or error`; err == nil ||
			!strings.Contains(err.Error(), want) || log != nil {
			t.Errorf("level %q: %v, want %s", level, err, want)
		}
	}
}

func TestTerminalGetsText(t *testing.T) {
	t.Parallel()
	screen, terminal := openTerminal(t)
	log, err := telemetry.NewLogger(terminal, "info")
	if err != nil {
		t.Fatal(err)
	}

	log.InfoContext(t.Context(), "leads", slog.Int("epoch", 7))

	line, err := bufio.NewReader(screen).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "time=") || !strings.Contains(line, "level=INFO msg=leads epoch=7") {
		t.Errorf("the terminal shows %q, %v", line, err)
	}
}

func TestFileGetsJSON(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	log, err := telemetry.NewLogger(file, "info")
	if err != nil {
		t.Fatal(err)
	}

	log.InfoContext(t.Context(), "leads")

	text, err := os.ReadFile(file.Name())
	if got := messages(t, bytes.NewBuffer(text)); err != nil || got != "leads " {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// openTerminal returns both ends of a new terminal, or skips where there is none.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("no terminals here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return screen, terminal
}
