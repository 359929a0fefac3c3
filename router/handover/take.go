package handover

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Taken is what a successor got. It must be closed.
type Taken struct {
	Offer

	conn  *net.UnixConn
	files []*os.File // in the order of Sockets
}

// Take asks the router in a data folder to hand over. The error is ErrNobody if
// none is there.
func Take(ctx context.Context, dir string) (*Taken, error) {
	var conn net.Conn
	err := pathIn(dir, func(path string) error {
		var dialer net.Dialer
		var err error
		conn, err = dialer.DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrNobody
	case err != nil:
		return nil, fmt.Errorf("handover socket in %s: %w", dir, err)
	}
	t := &Taken{conn: conn.(*net.UnixConn)}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.Close() })
	defer stop()
	if err := t.receive(); err != nil {
		t.Close()
		return nil, fmt.Errorf("handover: %w", err)
	}
	return t, nil
}

// receive gets the offer.
func (t *Taken) receive() error {
	if err := t.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := send(t.conn, ask); err != nil {
		return err
	}
	if err := t.receiveFiles(); err != nil {
		return err
	}
	text, err := bufio.NewReader(t.conn).ReadBytes('\n') // nothing follows before we are ready
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &t.Offer); err != nil {
		return err
	}
	if t.Format != Format || len(t.Sockets) != len(t.files) {
		return fmt.Errorf("offer of format %d with %d of %d descriptors; this router reads format %d", t.Format, len(t.files), len(t.Sockets), Format)
	}
	return nil
}

// SocketsMax is how many descriptors a router hands over at most. The kernel passes
// 253 at once.
const SocketsMax = 250

func (t *Taken) receiveFiles() error {
	word, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4*SocketsMax))
	n, controlled, _, _, err := t.conn.ReadMsgUnix(word, control)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlled])
	for _, message := range messages {
		numbers, rightsErr := unix.ParseUnixRights(&message)
		err = errors.Join(err, rightsErr)
		for _, number := range numbers {
			unix.CloseOnExec(number)
			t.files = append(t.files, os.NewFile(uintptr(number), "handed over"))
		}
	}
	if err == nil && (n != 1 || word[0] != files) {
		err = errors.New("the other router is busy or of another version")
	}
	return err
}

// File returns the descriptor of a name and the address that it has there, or nil.
// It is the caller's to close.
func (t *Taken) File(name, address string) *os.File {
	for i, socket := range t.Sockets {
		if file := t.files[i]; socket.Name == name && socket.Address == address && file != nil {
			t.files[i] = nil
			return file
		}
	}
	return nil
}

// Listener returns the listener of a name if it is at that address, or nil. What
// is at another address now is not taken over.
func (t *Taken) Listener(name, address string) (net.Listener, error) {
	file := t.File(name, address)
	if file == nil {
		return nil, nil //nolint:nilnil // there is none, and that is fine
	}
	listener, err := net.FileListener(file)
	return listener, errors.Join(err, file.Close())
}

// Ready says that connections are accepted here, and returns when the giver has
// let go. An error means that it is gone without a word: then there is nobody else
// to serve.
func (t *Taken) Ready(ctx context.Context) error {
	stop := context.AfterFunc(ctx, t.Close)
	defer stop()
	if err := t.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := send(t.conn, ready); err != nil {
		return err
	}
	return hear(t.conn, yours)
}

// Close gives back what was not used. To the giver it means, before Ready has
// returned, that there is no successor.
func (t *Taken) Close() {
	_ = t.conn.Close() // closing again does no harm
	for _, file := range t.files {
		if file != nil {
			_ = file.Close()
		}
	}
	t.files = nil
}
