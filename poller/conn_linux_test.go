package poller_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/poller"
)

type cleaner interface {
	fataler
	Cleanup(f func())
}

// pair returns both ends of a connection of TCP.
func pair(t fataler) (a, b net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	a, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func newLoop(t cleaner, hands int, threaded bool) *poller.Loop {
	t.Helper()
	loop := poller.New(hands, threaded)
	t.Cleanup(loop.Close)
	return loop
}

// adopted has a loop take a connection over.
func adopted(t fataler, loop *poller.Loop, conn net.Conn) *poller.Conn {
	t.Helper()
	c := loop.Adopt(conn)
	if c == nil {
		t.Fatal("the connection is not taken over")
	}
	return c
}

// TestAConnIsANetConn: to goroutines a connection that a loop has is like any other, also
// when several use it, with its deadlines, and when it is closed.
func TestAConnIsANetConn(t *testing.T) {
	t.Parallel()
	for _, threaded := range []bool{false, true} {
		t.Run(fmt.Sprintf("threaded %t", threaded), func(t *testing.T) {
			t.Parallel()
			loop := newLoop(t, 2, threaded)
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := pair(t)
				one, two := adopted(t, loop, a), adopted(t, loop, b)
				return one, two, func() { _, _ = one.Close(), two.Close() }, nil
			})
		})
	}
}

// TestOthersAreLeft: what is no socket of TCP is not taken over, nor is any when the loop
// is closed or there is none. It goes on as it was.
func TestOthersAreLeft(t *testing.T) {
	t.Parallel()
	loop := newLoop(t, 1, false)
	one, two := net.Pipe()
	defer func() { _, _ = one.Close(), two.Close() }()
	a, b := pair(t)
	defer func() { _, _ = a.Close(), b.Close() }()

	if loop.Adopt(one) != nil || (*poller.Loop)(nil).Adopt(a) != nil {
		t.Error("it is taken over")
	}
	loop.Close()
	if loop.Adopt(a) != nil {
		t.Error("it is taken over by a loop that is closed")
	}
	if _, err := io.WriteString(a, "x"); err != nil {
		t.Error(err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// echo begins a strand that sends back what comes, and returns what closes with its error.
func echo(c *poller.Conn, atOnce int, detaches bool) <-chan error {
	ended := make(chan error, 1)
	poller.Spin(func(s *poller.Strand) {
		c.Use(s)
		p := make([]byte, atOnce)
		for {
			n, err := c.Read(p)
			if detaches {
				s.Detach()
			}
			if err == nil {
				_, err = c.Write(p[:n])
			}
			if err != nil {
				ended <- err
				return
			}
		}
	})
	return ended
}

// ends waits for the error with which a strand has ended.
func ends(t fataler, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("the strand goes on")
		return nil
	}
}

// TestStrandsSendBack: many strands with few hands, whatever they do beside these, each get
// all that is sent to them, in order, and learn of its end.
func TestStrandsSendBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loop := newLoop(t, rapid.IntRange(1, 3).Draw(t, "hands"), rapid.Bool().Draw(t, "threaded"))
		atOnce, detaches := rapid.IntRange(1, 5000).Draw(t, "at once"), rapid.Bool().Draw(t, "detaches")
		var clients []net.Conn
		var strands []<-chan error
		for range rapid.IntRange(1, 8).Draw(t, "strands") {
			client, server := pair(t)
			_ = client.SetDeadline(time.Now().Add(patience))
			clients = append(clients, client)
			c := adopted(t, loop, server)
			defer func() { _, _ = client.Close(), c.Close() }()
			strands = append(strands, echo(c, atOnce, detaches))
		}
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			text := rapid.SliceOfN(rapid.Byte(), 1, 3000).Draw(t, "text")
			for _, client := range clients {
				if _, err := client.Write(text); err != nil {
					t.Fatal(err)
				}
			}
			for i, client := range clients {
				got := make([]byte, len(text))
				if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, text) {
					t.Fatalf("strand %d: %v, %d bytes like those sent: %t", i, err, len(text), bytes.Equal(got, text))
				}
			}
		}
		for i, client := range clients {
			_ = client.(*net.TCPConn).CloseWrite()
			if err := ends(t, strands[i]); !errors.Is(err, io.EOF) {
				t.Fatalf("strand %d ended by %v", i, err)
			}
		}
	})
}

// drain begins a strand that sends back what comes, and takes that for all when a read gets less
// than it asks for. It returns what closes with its error.
func drain(t fataler, c *poller.Conn, atOnce int) <-chan error {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	poller.Spin(func(s *poller.Strand) {
		c.Use(s)
		for p := make([]byte, atOnce); ; {
			var n int
			var failed error
			err := raw.Read(func(fd uintptr) bool {
				n, failed = unix.Read(int(fd), p)
				return !errors.Is(failed, unix.EAGAIN)
			})
			if err = errors.Join(err, failed); err == nil && n == 0 {
				err = io.EOF
			}
			if err != nil {
				ended <- err
				return
			}
			if n < len(p) {
				c.Drained()
			}
			_, _ = c.Write(p[:n]) // else the test misses it
		}
	})
	return ended
}

// TestNothingIsLeftWhenDrained: a strand that does not ask again for what it was not told of
// gets all that comes nevertheless, to the end, also what follows something urgent.
func TestNothingIsLeftWhenDrained(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loop := newLoop(t, rapid.IntRange(1, 3).Draw(t, "hands"), rapid.Bool().Draw(t, "threaded"))
		client, server := pair(t)
		defer func() { _ = client.Close() }()
		_ = client.SetDeadline(time.Now().Add(patience))
		c := adopted(t, loop, server)
		defer func() { _ = c.Close() }()
		sizes := rapid.SliceOfN(rapid.IntRange(0, 200), 1, 20).Draw(t, "sizes, or something urgent")
		early := rapid.IntRange(0, len(sizes)).Draw(t, "so many are there before")
		sent, urgent := 0, false
		send := func(size int) {
			if size == 0 {
				if !urgent { // of two the first may be read with the others
					urge(t, client)
				}
				urgent = true
				return
			}
			n, err := client.Write(make([]byte, size))
			if sent += n; err != nil {
				t.Fatal(err)
			}
		}

		for _, size := range sizes[:early] {
			send(size)
		}
		ended := drain(t, c, rapid.IntRange(1, 300).Draw(t, "at once"))
		for _, size := range sizes[early:] {
			send(size)
		}

		if n, err := io.CopyN(io.Discard, client, int64(sent)); err != nil {
			t.Fatalf("%d bytes come back of %d: %v", n, sent, err)
		}
		_ = client.(*net.TCPConn).CloseWrite()
		if err := ends(t, ended); !errors.Is(err, io.EOF) {
			t.Fatalf("the strand ended by %v", err)
		}
	})
}

// TestNewsBeforeAReadIsMinded: what comes after the last read took all, and is told of before the
// next one, is read by that.
func TestNewsBeforeAReadIsMinded(t *testing.T) {
	t.Parallel()
	loop := newLoop(t, 1, true)
	client, server := pair(t)
	defer func() { _ = client.Close() }()
	c := adopted(t, loop, server)
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, wrote := io.WriteString(client, "one")
	_, read := c.Read(make([]byte, 10))
	c.Drained()
	_, again := io.WriteString(client, "two")
	told := newGate(t) // what comes before it was told before
	add(t, loop, told.pipe.ends[0], told)
	within(t, told.reached, "the hand is told nothing")
	told.pass()

	n, err := c.Read(make([]byte, 10))

	if n != len("two") || errors.Join(wrote, read, again, err) != nil {
		t.Errorf("%d bytes, %v", n, errors.Join(wrote, read, again, err))
	}
}

// urge sends one byte that is urgent, and is not read with the others.
func urge(t fataler, client net.Conn) {
	t.Helper()
	raw, err := client.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.Send(int(fd), []byte("!"), unix.MSG_OOB); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAStrandsWaitEnds: by a deadline, also one that was moved, and by a close, whoever
// does it.
func TestAStrandsWaitEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		end  func(c *poller.Conn)
		want error
	}{
		"by a deadline to come":  {func(c *poller.Conn) { _ = c.SetReadDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		"by one that has passed": {func(c *poller.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"by one that was brought forward": {func(c *poller.Conn) {
			_ = c.SetDeadline(time.Now().Add(time.Hour))
			_ = c.SetDeadline(time.Now().Add(time.Millisecond))
		}, os.ErrDeadlineExceeded},
		"by a close": {func(c *poller.Conn) { _ = c.Close() }, net.ErrClosed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := pair(t)
			defer func() { _ = client.Close() }()
			c := adopted(t, newLoop(t, 1, true), server)
			defer func() { _ = c.Close() }()
			ended := echo(c, 1, false)

			tc.end(c)

			if err := ends(t, ended); !errors.Is(err, tc.want) {
				t.Errorf("it ended by %v, want %v", err, tc.want)
			}
		})
	}
}

// TestADeadlineIsLifted: a deadline that was taken back, or put off, ends no wait.
func TestADeadlineIsLifted(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	defer func() { _ = client.Close() }()
	c := adopted(t, newLoop(t, 1, false), server)
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, early := c.Read(make([]byte, 1))
	_ = c.SetReadDeadline(time.Time{})
	ended := echo(c, 1, false)
	_ = client.SetDeadline(time.Now().Add(patience))

	_, err := io.WriteString(client, "x")
	_, readErr := client.Read(make([]byte, 1))

	if !errors.Is(early, os.ErrDeadlineExceeded) || err != nil || readErr != nil {
		t.Errorf("first %v; then %v and %v", early, err, readErr)
	}
	_ = c.Close()
	_ = ends(t, ended)
}

// TestNobodyIsHeldUp: a strand that never has to wait does not keep the others from
// their turns, though the loop has one hand.
func TestNobodyIsHeldUp(t *testing.T) {
	t.Parallel()
	loop := newLoop(t, 1, true)
	flood, drain := pair(t)
	greedy := adopted(t, loop, drain)
	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		for p := make([]byte, 64<<10); ; {
			if _, err := flood.Write(p); err != nil {
				return
			}
		}
	}()
	over := make(chan error, 1)
	poller.Spin(func(s *poller.Strand) {
		greedy.Use(s)
		for p := make([]byte, 1); ; { // it reads more slowly than the other end writes
			if _, err := greedy.Read(p); err != nil {
				over <- err
				return
			}
		}
	})
	client, server := pair(t)
	modest := adopted(t, loop, server)
	ended := echo(modest, 1, false)
	_ = client.SetDeadline(time.Now().Add(patience))

	_, err := io.WriteString(client, "x")
	_, readErr := client.Read(make([]byte, 1))

	if err != nil || readErr != nil {
		t.Errorf("no answer came: %v, %v", err, readErr)
	}
	for _, c := range []io.Closer{flood, greedy, client} {
		_ = c.Close()
	}
	<-flooding
	_, _ = ends(t, over), ends(t, ended)
	_ = modest.Close()
}

// TestAGlanceSparesTheReader: what comes is first the glance's, to whom alone it may be of
// use, and the reader goes on when that is enough.
func TestAGlanceSparesTheReader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loop := newLoop(t, rapid.IntRange(1, 3).Draw(t, "hands"), rapid.Bool().Draw(t, "threaded"))
		if rapid.Bool().Draw(t, "resting") {
			loop = poller.NewResting(time.Millisecond, 2*time.Millisecond)
			defer loop.Close()
		}
		client, server := pair(t)
		_ = client.SetDeadline(time.Now().Add(patience))
		c := adopted(t, loop, server)
		defer func() { _, _ = client.Close(), c.Close() }()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var kept []byte // what is for the reader; its and the glance's in turns
		ended := false
		take := func(fd int, toEnd bool) (enough bool) {
			for p := make([]byte, 16); len(kept) == 0 && !ended; {
				n, err := unix.Read(fd, p)
				if errors.Is(err, unix.EAGAIN) {
					return false
				}
				ended = n <= 0
				kept = bytes.ReplaceAll(p[:max(n, 0)], []byte("."), nil)
				if n < len(p) && !toEnd && len(kept) == 0 {
					return ended
				}
			}
			return true
		}
		c.Watch(take)
		read := make(chan string, 1)
		go func() {
			var all []byte
			for !ended && raw.Read(func(fd uintptr) bool { return take(int(fd), true) }) == nil {
				all, kept = append(all, kept...), nil
			}
			read <- string(all)
		}()

		text := rapid.StringMatching(`([.]{1,20}|[a-z]{1,20}){0,20}`).Draw(t, "text")
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "next")
			if _, err := io.WriteString(client, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		_ = client.(*net.TCPConn).CloseWrite()

		select {
		case got := <-read:
			if want := strings.ReplaceAll(text, ".", ""); got != want {
				t.Fatalf("the reader got %q; want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatal("the reader waits")
		}
	})
}

// TestWhoIsGlancedForLearnsOfItsEnd, also where that comes during the glance.
func TestWhoIsGlancedForLearnsOfItsEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(c *poller.Conn) error
		want error
	}{
		"its time is over":         {func(c *poller.Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"the connection is closed": {(*poller.Conn).Close, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := pair(t)
			c := adopted(t, newLoop(t, 1, false), server)
			defer func() { _, _ = client.Close(), c.Close() }()
			c.Watch(func(int, bool) bool {
				if err := test.end(c); err != nil {
					t.Error(err)
				}
				return false
			})
			ended := make(chan error, 1)
			go func() {
				_, err := c.Read(make([]byte, 1))
				ended <- err
			}()

			for !c.Waits() { // else it would read before anybody glances
				runtime.Gosched()
			}
			if _, err := io.WriteString(client, "x"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, test.want) {
					t.Errorf("the read ended with %v; want %v", err, test.want)
				}
			case <-time.After(patience):
				t.Error("the reader waits")
			}
		})
	}
}
