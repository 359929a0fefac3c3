package relay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/router/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fataler is a test, or a check of one.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// line is two clients with a relay between them.
type line struct {
	a, b   *net.TCPConn // the far ends
	relay  relay.Relay
	cancel context.CancelFunc
	passed relay.Passed
	err    error
	ended  chan struct{}
}

func newLine(t fataler) *line {
	t.Helper()
	a, nearA := pair(t)
	b, nearB := pair(t)
	ctx, cancel := context.WithCancel(context.Background())
	l := &line{a: a, b: b, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		defer l.relay.Close()
		l.passed, l.err = l.relay.Run(ctx, nearA, nearB)
	}()
	return l
}

// greet has each end hear a byte of the other, so that the relay is there.
func (l *line) greet(t fataler) {
	t.Helper()
	for from, to := range map[*net.TCPConn]*net.TCPConn{l.a: l.b, l.b: l.a} {
		_, err := from.Write([]byte{0})
		if err == nil {
			_, err = to.Read([]byte{0})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// end closes the far ends, and waits until the relay has ended.
func (l *line) end() {
	_, _ = l.a.Close(), l.b.Close()
	l.cancel()
	<-l.ended
}

// pair returns the two ends of a connection over loopback.
func pair(t fataler) (far, near *net.TCPConn) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err = listener.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	far = conn.(*net.TCPConn)
	for _, end := range []net.Conn{far, near} {
		if err := end.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return far, near
}

// urgently returns how to write urgent data, at which a reader is stopped.
func urgently(to *net.TCPConn) (write func(p []byte) (int, error)) {
	return func(p []byte) (int, error) {
		raw, err := to.SyscallConn()
		if err != nil {
			return 0, err
		}
		waited := raw.Write(func(fd uintptr) bool {
			err = syscall.Sendto(int(fd), p, syscall.MSG_OOB, nil)
			return !errors.Is(err, syscall.EAGAIN)
		})
		return len(p), errors.Join(waited, err)
	}
}

// TestAllThatIsSentArrives: pieces of any size, urgent ones among them, both ways at once, and
// the last word of each side while the other still speaks.
func TestAllThatIsSentArrives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 300_000, 1 << 20}), 0, 6)
		up, down := pieces(sizes.Draw(t, "up")), pieces(sizes.Draw(t, "down"))
		l := newLine(t)
		defer l.end()
		var both sync.WaitGroup
		urgent := rapid.Bool().Draw(t, "single bytes are urgent")
		l.greet(t)
		speak := func(to *net.TCPConn, pieces [][]byte) {
			for _, piece := range pieces {
				write := to.Write
				if urgent && len(piece) == 1 {
					write = urgently(to)
				}
				if _, err := write(piece); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			if err := to.CloseWrite(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		hear := func(from *net.TCPConn, want [][]byte) {
			got, err := io.ReadAll(from)
			if err != nil || !bytes.Equal(got, bytes.Join(want, nil)) {
				t.Errorf("%d bytes came with error %v; want %d", len(got), err, len(bytes.Join(want, nil)))
			}
		}
		both.Go(func() { speak(l.a, up) })
		both.Go(func() { speak(l.b, down) })
		both.Go(func() { hear(l.a, down) })
		both.Go(func() { hear(l.b, up) })
		both.Wait()
		<-l.ended
		want := relay.Passed{Up: 1 + int64(len(bytes.Join(up, nil))), Down: 1 + int64(len(bytes.Join(down, nil)))}
		if l.err != nil || l.passed != want {
			t.Errorf("Relay = %+v, %v; want %+v", l.passed, l.err, want)
		}
	})
}

func pieces(sizes []int) [][]byte {
	source := rand.NewChaCha8([32]byte{})
	var all [][]byte
	for _, size := range sizes {
		piece := make([]byte, size)
		_, _ = source.Read(piece)
		all = append(all, piece)
	}
	return all
}

// TestABreakIsNoEnd: a side that is reset is no side that has said all.
func TestABreakIsNoEnd(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	defer l.end()
	if _, err := l.a.Write([]byte("half of")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.b, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}

	relay.Break(l.a)

	if _, err := l.b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other side reads %v, want a reset", err)
	}
	<-l.ended
	if l.err == nil {
		t.Error("Relay says that all was passed")
	}
}

// TestWhoLeavesAlone: a side that closes while the other speaks breaks it.
func TestWhoLeavesAlone(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	defer l.end()
	if err := l.a.Close(); err != nil {
		t.Fatal(err)
	}

	for {
		if _, err := l.b.Write(make([]byte, 1000)); err != nil {
			break
		}
	}
	<-l.ended
	if l.err == nil {
		t.Error("Relay says that all was passed")
	}
}

func TestCancelBreaksBoth(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	defer l.end()

	l.cancel()

	for _, end := range []*net.TCPConn{l.a, l.b} {
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("an end reads %v, want a reset", err)
		}
	}
	<-l.ended
	if !errors.Is(l.err, context.Canceled) {
		t.Errorf("Relay = %v", l.err)
	}
}

// BenchmarkBulk passes what is large, beside io.Copy and beside no relay at all.
func BenchmarkBulk(b *testing.B) {
	const size = 64 << 20
	var shared relay.Relay
	defer shared.Close()
	ways := map[string]func(a, b *net.TCPConn){
		"relay": func(a, c *net.TCPConn) { _, _ = shared.Run(context.Background(), a, c) },
		"buffer": func(a, c *net.TCPConn) {
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{a})
			_ = c.CloseWrite()
		},
	}
	for name, way := range ways {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			piece := make([]byte, 256<<10)
			for b.Loop() {
				far, near := pair(b)
				other, nearOther := pair(b)
				var all sync.WaitGroup
				all.Go(func() { way(near, nearOther) })
				all.Go(func() {
					for range size / len(piece) {
						_, _ = far.Write(piece)
					}
					_ = far.CloseWrite()
				})
				if n, err := io.Copy(io.Discard, other); n != size || err != nil {
					b.Fatal(n, err)
				}
				_, _ = other.Close(), far.Close()
				all.Wait()
				_, _ = near.Close(), nearOther.Close()
			}
		})
	}
}
