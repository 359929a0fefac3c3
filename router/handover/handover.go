// Package handover passes what a router listens on, and its lock on the data
// folder, to the process that takes its place.
//
// The law: until the successor says that it accepts connections, and has lived on
// for a moment, the giver changes nothing; from then on the successor depends on
// nothing of the giver's. So whichever of the two dies, and when, the other one
// serves, and the sockets, which both have open, lose no connection.
//
// The two speak over a socket in the data folder: the taker asks by a byte, gets
// the descriptors with another and an offer in JSON, says "ready" by a third, and
// hears by a fourth that it has taken over.
package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

const (
	// socketName is the name of the socket in the data folder.
	socketName = "handover"
	// Format is the form of what is said; a taker of another one is refused.
	Format = 1
	// Settle is how long a successor must live on before the giver lets go.
	Settle = time.Second
	// patience bounds each step; a successor may wait for a table before it is ready.
	patience = 30 * time.Second
)

// What the two say to each other, beside the offer.
const (
	ask   byte = Format
	ready byte = 'r'
	yours byte = 'y'
	files byte = 'f'
)

// ErrNobody is the error of Take when no router is there.
var ErrNobody = errors.New("no router runs here")

// Socket is a descriptor that is handed over.
type Socket struct {
	Name    string       `json:"name"`
	Address string       `json:"address,omitempty"` // as the operator wrote it
	File    syscall.Conn `json:"-"`
}

// Offer is what a router says of itself to its successor.
type Offer struct {
	Format    int         `json:"format"`
	Router    id.Router   `json:"router"`     // as the operator named it
	Number    int         `json:"number"`     // of the process, from 1
	InSession bool        `json:"in_session"` // the masters speak with it now
	Table     route.Table `json:"table"`      // the one that it applies now
	Sockets   []Socket    `json:"sockets"`    // in the order of the descriptors
}

// pathIn calls use with the path of the socket. It is a short one, for the
// kernel takes no long ones.
func pathIn(dir string, use func(path string) error) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }() // opened for its number only
	return use(filepath.Join(fmt.Sprintf("/proc/self/fd/%d", opened.Fd()), socketName))
}

// send and hear exchange one byte.
func send(conn net.Conn, word byte) error {
	_, err := conn.Write([]byte{word})
	return err
}

func hear(conn net.Conn, word byte) error {
	var heard [1]byte
	if _, err := conn.Read(heard[:]); err != nil {
		return err
	}
	if heard[0] != word {
		return fmt.Errorf("the other router says %q, want %q: is it of another version?", heard[0], word)
	}
	return nil
}
