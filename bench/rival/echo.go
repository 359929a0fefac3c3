package rival

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// EchoBytes is how long the messages are that ServeEcho sends back.
const EchoBytes = 64

// The lengths of a frame before its payload.
const (
	frameHead = 2
	frameMask = 4
)

// Message is the frame of a message as a client sends it: one that is final, binary,
// of EchoBytes, and masked with zeroes.
func Message() []byte {
	return append([]byte{0x82, 0x80 | EchoBytes, 0, 0, 0, 0}, make([]byte, EchoBytes)...)
}

// ReadEcho reads the frame with which ServeEcho answers.
func ReadEcho(in io.Reader) error {
	frame := make([]byte, frameHead+EchoBytes)
	if _, err := io.ReadFull(in, frame); err != nil {
		return err
	}
	if frame[0] != 0x82 || frame[1] != EchoBytes {
		return fmt.Errorf("the echo begins with %x", frame[:frameHead])
	}
	return nil
}

// ServeEcho is a WebSocket server that sends the messages of Message back, until ctx is
// done.
func ServeEcho(ctx context.Context, addr string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	var echoing sync.WaitGroup
	defer echoing.Wait()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		echoing.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer func() { _ = conn.Close() }()
			_ = echo(conn) // it ends with its client
		})
	}
}

func echo(conn net.Conn) error {
	in := bufio.NewReader(conn)
	request, err := http.ReadRequest(in)
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(request.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	frame := make([]byte, frameHead+frameMask+EchoBytes)
	for err == nil {
		if _, err = io.ReadFull(in, frame); err != nil {
			return err
		}
		if frame[1] != 0x80|EchoBytes {
			return fmt.Errorf("a frame begins with %x", frame[:frameHead])
		}
		answer := append([]byte{frame[0], EchoBytes}, frame[frameHead+frameMask:]...)
		for i := range answer[frameHead:] {
			answer[frameHead+i] ^= frame[frameHead+i%frameMask]
		}
		_, err = conn.Write(answer)
	}
	return err
}
