package handover_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router/handover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// giving is a router that hands over a listener and a lock.
type giving struct {
	dir      string
	listener net.Listener
	ended    chan error
	die      context.CancelFunc
}

func give(t *testing.T) *giving {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40)) // longer than a socket's path may be
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(listener) })
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(lock) })
	giver, err := handover.Listen(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	offer := handover.Offer{
		Router: "r1", Number: 1, InSession: true, Table: route.Table{Version: route.Version{Epoch: 1, Seq: 7}},
		Sockets: []handover.Socket{
			{Name: "http", Address: ":80", File: listener.(*net.TCPListener)}, {Name: "folder", File: lock},
		},
	}
	ctx, die := context.WithCancel(t.Context())
	g := &giving{dir: dir, listener: listener, ended: make(chan error, 1), die: die}
	go func() { g.ended <- giver.Run(ctx, func() handover.Offer { return offer }) }()
	t.Cleanup(func() {
		die()
		if err := <-g.ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return g
}

func (g *giving) take(t *testing.T) *handover.Taken {
	t.Helper()
	taken, err := handover.Take(t.Context(), g.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(taken.Close)
	return taken
}

// accepts sees to it that a listener gets what its address is asked.
func accepts(t *testing.T, listener net.Listener) {
	t.Helper()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	got, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	drop(got)
}

func TestHandover(t *testing.T) {
	t.Parallel()
	g := give(t)
	taken := g.take(t)
	if taken.Router != "r1" || taken.Number != 1 || !taken.InSession || taken.Table.Version.Seq != 7 {
		t.Errorf("offer %+v", taken.Offer)
	}
	if other, err := taken.Listener("http", ":8080"); other != nil || err != nil {
		t.Errorf("a listener at another address is taken over: %v, %v", other, err)
	}
	listener, err := taken.Listener("http", ":80")
	if err != nil || listener == nil {
		t.Fatal(listener, err)
	}
	defer drop(listener)
	lock := taken.File("folder", "")
	if lock == nil {
		t.Fatal("the lock is not handed over")
	}
	drop(lock)

	accepts(t, g.listener) // the giver serves on
	if err := taken.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-g.ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	g.ended <- nil
	waiting, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer drop(waiting)
	drop(g.listener)

	accepts(t, listener) // and gets the one that waited before the giver let go
}

// TestASuccessorThatDies: at each step before the last, nothing has changed, and
// the next successor may come.
func TestASuccessorThatDies(t *testing.T) {
	t.Parallel()
	g := give(t)
	asks := func() *net.UnixConn {
		opened, err := os.Open(g.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(opened)
		conn, err := net.Dial("unix", filepath.Join("/proc/self/fd", strconv.Itoa(int(opened.Fd())), "handover"))
		if err != nil {
			t.Fatal(err)
		}
		return conn.(*net.UnixConn)
	}
	steps := map[string]func(){
		"before it asks":     func() { drop(asks()) },
		"of another version": func() { c := asks(); _, _ = c.Write([]byte{99}); _, _ = io.Copy(io.Discard, c); drop(c) },
		"when it has asked":  func() { c := asks(); _, _ = c.Write([]byte{handover.Format}); drop(c) },
		"with all it got":    func() { g.take(t).Close() },
		"just after it began": func() {
			c := asks()
			_, _ = c.Write([]byte{handover.Format})
			_, _ = io.ReadFull(c, make([]byte, 20))
			_, _ = c.Write([]byte{'r'})
			drop(c)
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // one after the other
			step()

			accepts(t, g.listener)
			select {
			case err := <-g.ended:
				t.Fatalf("the giver has let go: %v", err)
			default:
			}
		})
	}
	taken := g.take(t)
	if err := taken.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAGiverThatDies: the successor hears of it, and has the sockets.
func TestAGiverThatDies(t *testing.T) {
	t.Parallel()
	g := give(t)
	taken := g.take(t)
	listener, err := taken.Listener("http", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer drop(listener)

	g.die()
	err = <-g.ended
	g.ended <- err
	drop(g.listener)

	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if err := taken.Ready(t.Context()); err == nil {
		t.Error("a giver that is gone lets go")
	}
	accepts(t, listener)
	if _, err := handover.Take(t.Context(), g.dir); !errors.Is(err, handover.ErrNobody) {
		t.Errorf("Take = %v, want that nobody is there", err)
	}
	again, err := handover.Listen(g.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// TestNoSocketCanBeMade: the caller learns of it, and of the folder.
func TestNoSocketCanBeMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "missing")

	giver, err := handover.Listen(dir, slog.New(slog.DiscardHandler))

	if giver != nil || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Listen = %v, %v; want an error that names %s", giver, err, dir)
	}
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	if _, err := handover.Take(t.Context(), t.TempDir()); !errors.Is(err, handover.ErrNobody) {
		t.Errorf("Take = %v, want that nobody is there", err)
	}
	if _, err := handover.Take(t.Context(), filepath.Join(t.TempDir(), "missing")); !errors.Is(err, handover.ErrNobody) {
		t.Errorf("Take = %v, want that nobody is there", err)
	}
}

// drop closes what a test needs no longer, whether or not it is closed already.
func drop(c io.Closer) { _ = c.Close() }
