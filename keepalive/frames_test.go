package keepalive_test

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/keepalive"
)

// piece is a frame, or a block of headers: nothing may stand within it.
type piece struct {
	bytes []byte
	ping  bool // it is one that asks
}

// pieces draws what a side may send, as golang.org/x/net writes it.
func pieces(t *rapid.T, most int) []piece {
	kinds := map[string]func(f *http2.Framer) error{
		"data": func(f *http2.Framer) error {
			return f.WriteData(1, false, bytes.Repeat([]byte{rapid.Byte().Draw(t, "data")}, rapid.IntRange(0, 600).Draw(t, "bytes")))
		},
		"headers": func(f *http2.Framer) error {
			more := rapid.IntRange(0, 2).Draw(t, "continuations")
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("x"), EndHeaders: more == 0})
			for i := range more {
				if err == nil {
					err = f.WriteContinuation(1, i == more-1, []byte("yz"))
				}
			}
			return err
		},
		"window": func(f *http2.Framer) error { return f.WriteWindowUpdate(1, 7) },
		"tells":  func(f *http2.Framer) error { return f.WritePing(true, [8]byte(keepalive.Telling()[9:])) },
		"answer": func(f *http2.Framer) error { return f.WritePing(true, [8]byte{9}) },
		"ping":   func(f *http2.Framer) error { return f.WritePing(false, [8]byte{1, 2, 3}) },
	}
	var all []piece
	for range rapid.IntRange(1, most).Draw(t, "pieces") {
		kind := rapid.SampledFrom([]string{"data", "headers", "window", "tells", "answer", "ping", "ping"}).Draw(t, "kind")
		var b bytes.Buffer
		if err := kinds[kind](http2.NewFramer(&b, nil)); err != nil {
			t.Fatal(err)
		}
		all = append(all, piece{b.Bytes(), kind == "ping"})
	}
	return all
}

// TestFramesAreFollowed however they come: another may stand where one has ended, and
// nowhere else.
func TestFramesAreFollowed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := []byte(keepalive.Preface)
		ends := map[int]bool{len(all): true}
		for _, p := range pieces(t, 8) {
			all = append(all, p.bytes...)
			ends[len(all)] = true
		}
		var f keepalive.Frames

		for at := 0; at < len(all); {
			n := rapid.IntRange(1, len(all)-at).Draw(t, "next")
			f.Pass(all[at : at+n])
			at += n

			if f.Between() != ends[at] {
				t.Fatalf("after %d of %d bytes another frame may stand: %t; want %t", at, len(all), f.Between(), ends[at])
			}
		}
	})
}

// TestAliensAreLeft: nothing of ours stands in what is not HTTP/2.
func TestAliensAreLeft(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another protocol":  "GET / HTTP/1.1\r\n\r\n",
		"half of a preface": "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n and what may look like frames",
		"TLS":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, until it is long enough",
	} {
		var f keepalive.Frames
		for i := range len(text) {
			if f.Pass([]byte{text[i]}); f.Between() {
				t.Errorf("%s: a frame may stand after %q", name, text[:i+1])
			}
		}
	}
}

// TestPingsAreKnown, and nothing else is taken for one.
func TestPingsAreKnown(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]bool{
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678": true,
		"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678": true,
		"\x00\x00\x08\x06\x02\x00\x00\x00\x0012345678": false, // a flag that none has
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0112345678": false, // of a stream
		"\x00\x00\x09\x06\x00\x00\x00\x00\x0012345678": false,
		"\x00\x00\x08\x00\x00\x00\x00\x00\x0012345678": false,
	} {
		if keepalive.IsPing([]byte(frame)) != want {
			t.Errorf("%q is a ping: %t; want %t", frame, !want, want)
		}
	}
}
