package keepalive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/nettest"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/keepalive"
)

const patience = 20 * time.Second

// settings is the first frame of each side.
const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// slow is a pace at which nothing is due while a test runs.
var slow = keepalive.Pace{TellAfter: time.Hour, AskAfter: time.Hour, AnswerWithin: time.Hour}

type tester interface {
	Helper()
	Cleanup(f func())
	Fatal(args ...any)
}

// pair returns both ends of a connection of TCP.
func pair(t tester) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// watch sets one to work until the test ends.
func watch(t tester, pace keepalive.Pace) *keepalive.Watch {
	t.Helper()
	w := keepalive.NewWatch(pace)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return w
}

// TestConnsAreNetConns where something else is spoken than HTTP/2.
func TestConnsAreNetConns(t *testing.T) {
	t.Parallel()
	w := watch(t, slow)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := pair(t)
		client, server := keepalive.Dialed(a, slow), w.Accepted(b)
		return client, server, func() { _, _ = client.Close(), server.Close() }, nil
	})
}

// pingOnly has so many pings come alone that a loop may have the connection.
func pingOnly(t *rapid.T, client net.Conn, replies *http2.Framer) {
	t.Helper()
	for range keepalive.IdleFrom + 1 {
		if _, err := client.Write(keepalive.Asking()); err != nil {
			t.Fatal(err)
		}
		if f, err := replies.ReadFrame(); err != nil || !f.(*http2.PingFrame).IsAck() {
			t.Fatalf("for a ping came %v, %v", f, err)
		}
	}
}

// TestAServerReadsAllButPings: each ping is answered once, or left to the reader, who gets
// all else as it was sent. What the server says meanwhile comes whole.
func TestAServerReadsAllButPings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		client, accepted := pair(t)
		_ = client.SetDeadline(time.Now().Add(patience))
		server := watch(t, slow).Accepted(accepted)
		defer func() { _, _ = client.Close(), server.Close() }()
		replies := http2.NewFramer(io.Discard, client)
		read, greeted := make(chan []byte, 1), make(chan struct{})
		go func() {
			preface := make([]byte, 100) // as net/http, that reads it with what follows
			n, _ := io.ReadAtLeast(server, preface, len(keepalive.Preface))
			close(greeted)
			rest, _ := io.ReadAll(smallReads{server})
			read <- append(preface[:n], rest...)
		}()
		if _, err := io.WriteString(client, keepalive.Preface); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(server, settings); err != nil {
			t.Fatal(err)
		}
		if f, err := replies.ReadFrame(); err != nil || f.Header().Type != http2.FrameSettings {
			t.Fatalf("first came %v, %v", f, err)
		}
		if rapid.Bool().Draw(t, "quiet") {
			<-greeted
			waits := rapid.Bool().Draw(t, "what comes may wait")
			if waits {
				server.MayWait()
			}
			pingOnly(t, client, replies)
			if _, is := keepalive.Socket(server).(*net.TCPConn); is == waits {
				t.Fatalf("what comes may wait: %t, and a loop has the connection: %t", waits, !is)
			}
		}
		sent, said := pieces(t, 12), pieces(t, 12)
		said = slices.DeleteFunc(said, func(p piece) bool { return p.ping || isAnswer(p.bytes) })
		var all []byte
		pings := 0
		for _, p := range sent {
			all = append(all, p.bytes...)
			if p.ping {
				pings++
			}
		}
		for rest, parts := all, inParts(said); len(rest)+len(parts) > 0; {
			if len(rest) == 0 || len(parts) > 0 && rapid.Bool().Draw(t, "the server speaks") {
				if _, err := server.Write(parts[0]); err != nil {
					t.Fatal(err)
				}
				parts = parts[1:]
				continue
			}
			n := rapid.IntRange(1, len(rest)).Draw(t, "next")
			since := server.LastHeard()
			if _, err := client.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "is heard first") {
				eventually(t, "it is heard", func() bool { return server.LastHeard().After(since) })
			}
			rest = rest[n:]
		}
		_ = client.(*net.TCPConn).CloseWrite()
		got := <-read
		_ = server.Close()

		answered, came := repliesOf(t, replies)
		left, others := split(t, got[len(keepalive.Preface):])
		_, want := split(t, all)
		if !bytes.Equal(others, want) {
			t.Fatalf("the server read %d bytes beside pings; want the %d that were sent", len(others), len(want))
		}
		if answered+left != pings {
			t.Fatalf("of %d pings %d were answered and %d left to the reader", pings, answered, left)
		}
		if want := joined(said); !bytes.Equal(came, want) {
			t.Fatalf("the client got %d bytes of frames; want %d", len(came), len(want))
		}
	})
}

func isAnswer(frame []byte) bool { return keepalive.IsPing(frame) && frame[4] == 1 }

// inParts cuts what the server says as net/http does, where its buffer is full.
func inParts(said []piece) (parts [][]byte) {
	for _, p := range said {
		parts = slices.AppendSeq(parts, slices.Chunk(p.bytes, 100))
	}
	return parts
}

func joined(all []piece) (frames []byte) {
	for _, p := range all {
		frames = append(frames, p.bytes...)
	}
	return frames
}

// smallReads reads the head of a frame at a time, or less, as net/http does.
type smallReads struct{ net.Conn }

func (r smallReads) Read(p []byte) (int, error) { return r.Conn.Read(p[:min(len(p), 9)]) }

// repliesOf counts the answers to pings of the test, and returns all else.
func repliesOf(t *rapid.T, f *http2.Framer) (answers int, others []byte) {
	t.Helper()
	f.SetMaxReadFrameSize(1 << 20)
	f.AllowIllegalReads = true
	var b bytes.Buffer
	copied := http2.NewFramer(&b, nil)
	copied.AllowIllegalWrites = true
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("the client reads: %v", err)
			}
			return answers, b.Bytes()
		}
		h := frame.Header()
		switch x := frame.(type) {
		case *http2.PingFrame:
			if !x.IsAck() || x.Data != [8]byte{1, 2, 3} {
				t.Fatalf("came %v", x)
			}
			answers++
		case *http2.DataFrame:
			_ = copied.WriteData(h.StreamID, x.StreamEnded(), x.Data())
		case *http2.HeadersFrame:
			_ = copied.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: x.HeaderBlockFragment(), EndHeaders: x.HeadersEnded()})
		case *http2.ContinuationFrame:
			_ = copied.WriteContinuation(h.StreamID, x.HeadersEnded(), x.HeaderBlockFragment())
		case *http2.WindowUpdateFrame:
			_ = copied.WriteWindowUpdate(h.StreamID, x.Increment)
		}
	}
}

// split counts the pings that ask among frames, and returns all else but what only tells.
func split(t *rapid.T, all []byte) (pings int, others []byte) {
	t.Helper()
	for len(all) > 0 {
		n := 9 + int(all[0])<<16 + int(all[1])<<8 + int(all[2])
		if n > len(all) {
			t.Fatalf("the reader got half of a frame: %q", all)
		}
		switch frame := all[:n]; {
		case keepalive.IsPing(frame) && !isAnswer(frame):
			pings++
		case !bytes.Equal(frame, keepalive.Telling()):
			others = append(others, frame...)
		}
		all = all[n:]
	}
	return pings, others
}

// TestWhoIsSilentIsLeft tells when each side asks and tells, and gives up.
func TestWhoIsSilentIsLeft(t *testing.T) {
	t.Parallel()
	pace := keepalive.Pace{TellAfter: 3 * time.Second, AskAfter: 4 * time.Second, AnswerWithin: 4 * time.Second}
	asks := keepalive.Pace{AskAfter: 4 * time.Second, AnswerWithin: 4 * time.Second}
	tests := map[string]struct {
		accepts bool // the side is the server
		pace    keepalive.Pace
		answers int // so many times the other side does
		want    string
	}{
		"a client whose master says nothing":      {false, pace, 0, "tells 3s, asks 6s, tells 9s, silent 10s"},
		"a client whose master falls silent":      {false, pace, 2, "tells 3s, asks 6s, tells 9s, asks 12s, tells 15s, asks 18s, tells 21s, silent 22s"},
		"a server whose client says nothing":      {true, asks, 0, "asks 4s, silent 8s"},
		"a server whose client falls silent":      {true, asks, 2, "asks 4s, asks 8s, asks 12s, silent 16s"},
		"a server that is told, until it is not":  {true, asks, -3, "asks 13s, silent 17s"},
		"a client that is told, but asks no less": {false, pace, -3, "tells 3s, tells 6s, tells 9s, tells 12s, asks 15s, tells 18s, silent 19s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				var conn *keepalive.Conn
				if test.accepts {
					conn = watch(t, test.pace).Accepted(near)
				} else {
					conn = keepalive.Dialed(near, test.pace)
				}
				if got := meet(t, conn, far, test.accepts, test.answers); got != test.want {
					t.Errorf("it %s; want %s", got, test.want)
				}
			})
		})
	}
}

// TestTheFirstFrameIsSettings: a ping that comes before the server's is the reader's.
func TestTheFirstFrameIsSettings(t *testing.T) {
	t.Parallel()
	client, accepted := pair(t)
	server := watch(t, slow).Accepted(accepted)
	defer func() { _, _ = client.Close(), server.Close() }()
	_ = server.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(client, keepalive.Preface)
	if _, err := io.ReadFull(server, make([]byte, len(keepalive.Preface))); err != nil {
		t.Fatal(err)
	}
	_, _ = client.Write(keepalive.Asking())

	got := make([]byte, len(keepalive.Asking()))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, keepalive.Asking()) {
		t.Errorf("the reader got %q, %v", got, err)
	}
}

// TestWhoReadsNothingIsNoTrap: answers for which there is no room, in part or at all, are
// sent later, or the reader's; all ends when the connection does.
func TestWhoReadsNothingIsNoTrap(t *testing.T) {
	t.Parallel()
	client, accepted := pair(t)
	server := watch(t, slow).Accepted(accepted)
	_ = accepted.(*net.TCPConn).SetWriteBuffer(1)
	var reading, writing sync.WaitGroup
	defer writing.Wait()
	defer reading.Wait()
	defer func() { _, _ = client.Close(), server.Close() }()
	_, _ = io.WriteString(client, keepalive.Preface)
	if _, err := io.ReadFull(server, make([]byte, len(keepalive.Preface))); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(server, settings)
	left := make(chan struct{})
	reading.Go(func() {
		_, _ = server.Read(make([]byte, 9)) // the head of a ping that cannot be answered
		close(left)
		_, _ = io.Copy(io.Discard, server)
	})
	writing.Go(func() {
		for pings := bytes.Repeat(keepalive.Asking(), 1000); ; {
			if _, err := client.Write(pings); err != nil {
				return
			}
		}
	})
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("all is answered, though nobody reads")
	}

	_ = server.Close()
	if _, err := server.Write([]byte("more")); err == nil {
		t.Error("a closed connection takes more")
	}
}

// TestWhoWasHaltedAsksAgain: what came meanwhile may wait to be read.
func TestWhoWasHaltedAsksAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		conn := keepalive.Dialed(near, keepalive.Pace{TellAfter: 2 * time.Second, AskAfter: 4 * time.Second, AnswerWithin: 4 * time.Second})
		began, halted := time.Now(), false
		for again := time.Second; again > 0; again = keepalive.Attend(conn) {
			time.Sleep(again)
			if !halted && time.Since(began) >= 7*time.Second { // it has asked after 4 s
				halted = true
				time.Sleep(time.Minute)
			}
		}

		if got, want := time.Since(began), 71*time.Second; got != want {
			t.Errorf("the other side is silent after %v; want %v, four after it was asked again", got, want)
		}
	})
}

// TestWhoHasNotReadAllDoesNotJudge: a reader may have no processor, but not for good.
func TestWhoHasNotReadAllDoesNotJudge(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := pair(t)
			defer func() { _, _ = near.Close(), far.Close() }()
			conn := keepalive.Dialed(near, keepalive.Pace{TellAfter: 2 * time.Second, AskAfter: 4 * time.Second, AnswerWithin: 4 * time.Second})
			began := time.Now()
			_, _ = io.WriteString(far, "words")
			// It asks, and is spared four times; where it has read, as often anew.
			read, want := false, 4*time.Second+5*4*time.Second
			if reads {
				want += 13 * time.Second
			}
			for again := time.Second; again > 0; again = keepalive.Attend(conn) {
				time.Sleep(again)
				if reads && !read && time.Since(began) >= 13*time.Second {
					_, _ = io.ReadFull(conn, make([]byte, len("words")))
					_, _ = io.WriteString(far, "more")
					read = true
				}
			}

			if got := time.Since(began); got < want || got > want+time.Second {
				t.Errorf("it reads: %t; the other side is silent after %v; want %v", reads, got, want)
			}
		})
	}
}

// meet returns what a side says and when, until it takes the other one for silent, that
// answers so many times or, where that is less than 0, tells so often of itself.
func meet(t *testing.T, conn *keepalive.Conn, far net.Conn, accepts bool, answers int) (said string) {
	t.Helper()
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}()
	first := settings
	if accepts {
		_, _ = io.WriteString(far, keepalive.Preface)
	} else {
		first = keepalive.Preface + settings
	}
	go func() { _, _ = io.WriteString(conn, first) }()
	_, _ = io.ReadFull(far, make([]byte, len(first)))
	tells := -answers
	go func() {
		for range tells {
			time.Sleep(3 * time.Second)
			_, _ = far.Write(keepalive.Telling())
		}
	}()
	for frame := make([]byte, len(keepalive.Asking())); ; {
		if _, err := io.ReadFull(far, frame); err != nil {
			break
		}
		what := "tells"
		if bytes.Equal(frame, keepalive.Asking()) {
			what = "asks"
			if answers > 0 {
				answers--
				frame[4] = 1
				_, _ = far.Write(frame)
			}
		}
		said += fmt.Sprintf("%s %v, ", what, time.Since(began))
	}
	if err := <-ended; !errors.Is(err, keepalive.ErrSilent) {
		t.Errorf("it ended with %v", err)
	}
	return said + fmt.Sprintf("silent %v", time.Since(began))
}
