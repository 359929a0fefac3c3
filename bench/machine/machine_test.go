package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/machine"
)

const patience = 30 * time.Second

// TestMain runs the tests in a world, where one can be made. This program is also
// what runs on the machines: a server that answers with its boot id.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		serve(os.Args[2])
		return
	}
	if machine.Missing() != nil {
		os.Exit(m.Run()) //nolint:forbidigo // this is the tests' main
	}
	os.Exit(machine.Main(m.Run)) //nolint:forbidigo // this is the tests' main
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		bootID, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		host, _ := os.Hostname()
		fmt.Fprintf(conn, "%s %s", host, bootID)
		_ = conn.Close()
	}
}

// boot makes a machine that runs.
func boot(t *testing.T, name string, number int) *machine.Machine {
	t.Helper()
	if err := machine.Missing(); err != nil {
		t.Skip(err)
	}
	m := machine.New(machine.Config{Name: name, Number: number, Folder: t.TempDir()})
	if err := m.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Off(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// serveOn starts the server on a machine.
func serveOn(t *testing.T, m *machine.Machine) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Start(machine.Program{Command: []string{self, "serve", m.IP() + ":80"}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Command, "serve") {
		t.Fatalf("started %q, want the server", p.Command)
	}
}

// get asks a machine's server.
func get(ctx context.Context, m *machine.Machine) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.IP()+":80")
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	text, err := io.ReadAll(conn)
	return string(text), err
}

// until asks a machine's server until the answer is as wanted.
func until(t *testing.T, m *machine.Machine, what string, wanted func(string, error) bool) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		text, err := get(t.Context(), m)
		if wanted(text, err) {
			return text
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: the last answer was %q, %v", what, text, err)
		}
	}
}

func answers(text string, err error) bool { return err == nil && text != "" }
func silent(_ string, err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func TestCutsAndTheirEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]machine.Direction{
		"both":   machine.Both,
		"to it":  {In: true},
		"off it": {Out: true},
	}
	number := 10
	for name, lost := range tests {
		number++
		at := number
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := boot(t, fmt.Sprintf("cut%d", at), at)
			serveOn(t, m)
			until(t, m, "it answers", answers)

			if err := m.Cut(t.Context(), lost); err != nil {
				t.Fatal(err)
			}
			until(t, m, "it is silent", silent)
			if err := m.Heal(t.Context()); err != nil {
				t.Fatal(err)
			}

			until(t, m, "it answers again", answers)
		})
	}
}

func TestACutOfOneMachineLeavesTheOthers(t *testing.T) {
	t.Parallel()
	m, other := boot(t, "one", 21), boot(t, "other", 22)
	serveOn(t, m)

	if err := m.Cut(t.Context(), machine.Both, other); err != nil {
		t.Fatal(err)
	}

	until(t, m, "the world reaches it", answers)
}

func TestPower(t *testing.T) {
	t.Parallel()
	m := boot(t, "power", 31)
	serveOn(t, m)
	before := until(t, m, "it answers", answers)
	if !strings.HasPrefix(before, "power ") {
		t.Errorf("it answers %q, want its name first", before)
	}

	if err := m.Off(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), m); err == nil {
		t.Error("a machine without power answers")
	}
	if left, err := m.Processes(); err != nil || len(left) > 0 {
		t.Errorf("a machine without power runs %v, %v", left, err)
	}
	if _, err := m.Start(machine.Program{Command: []string{"true"}}); !errors.Is(err, machine.ErrOff) {
		t.Errorf("Start on a machine without power = %v, want ErrOff", err)
	}
	if err := m.On(t.Context()); err != nil {
		t.Fatal(err)
	}
	serveOn(t, m)

	after := until(t, m, "it answers again", answers)
	if after == before {
		t.Errorf("it answers %q before and after, want another boot id", after)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	m := boot(t, "none", 41)

	_, err := m.Start(machine.Program{Command: []string{"/no/such/program"}, Log: filepath.Join(t.TempDir(), "log")})

	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("Start = %v, want an error that names the program", err)
	}
	if left, err := m.Processes(); err != nil || len(left) > 0 {
		t.Errorf("it runs %v, %v; want nothing", left, err)
	}
}
