package supervisor

import (
	"errors"
	"fmt"
	"time"
)

// The wire is a unix socket with one JSON value per line, both ways. A client
// begins with a hello; then it sends requests with numbers of its choice, and
// gets one reply for each, and an exit, with number 0, whenever an attempt ends.
//
// version changes when a client of before could misunderstand.
const version = 1

// Bounds of one line. A start with a big environment fits; so does a list of
// thousands of exits.
const (
	requestBytesMax = 8 << 20
	replyBytesMax   = 256 << 20
)

// operation is what a request asks for.
type operation string

const (
	opHello    operation = "hello"
	opStart    operation = "start"
	opStop     operation = "stop"
	opSignal   operation = "signal"
	opKill     operation = "kill"
	opList     operation = "list"
	opForget   operation = "forget"
	opShutdown operation = "shutdown"
	opLeased   operation = "leased_start" // a start with a lease: a supervisor that knows of none refuses it
	opProlong  operation = "prolong"
	opHandOver operation = "hand over" // answered only if it comes to nothing
)

type request struct {
	ID      uint64        `json:"id"`
	Op      operation     `json:"op"`
	Version int           `json:"version,omitempty"` // of hello
	Start   *Start        `json:"start,omitempty"`   // of start and leased start
	Key     Key           `json:"key,omitzero"`      // of all that are about one attempt
	Signal  int           `json:"signal,omitempty"`  // of signal
	Group   bool          `json:"group,omitempty"`   // of signal
	Grace   time.Duration `json:"grace,omitempty"`   // of stop
	Leases  []Lease       `json:"leases,omitempty"`  // of prolong
	Path    string        `json:"path,omitempty"`    // of hand over: the binary to execute
}

type reply struct {
	ID      uint64 `json:"id"`
	Error   string `json:"error,omitempty"` // a name from wireNames, or "other"
	Text    string `json:"text,omitempty"`  // of the error
	Version int    `json:"version,omitempty"`
	Format  int    `json:"format,omitempty"` // of what it hands over, in a hello; 0 if it cannot
	PID     int    `json:"pid,omitempty"`    // of the supervisor in a hello, of the program in a start
	Tasks   []Task `json:"tasks,omitempty"`
	Exit    *Exit  `json:"exit,omitempty"` // pushed, with ID 0
}

// wireErrors returns the errors that cross the wire by name.
func wireErrors() map[string]error {
	return map[string]error{
		"already_started": ErrAlreadyStarted,
		"unknown":         ErrUnknown,
		"running":         ErrRunning,
		"superseded":      ErrSuperseded,
		"closing":         ErrClosing,
		"version":         ErrVersion,
		"record":          ErrRecord,
		"handover":        ErrHandover,
	}
}

// refuse returns the reply that carries err.
func refuse(id uint64, err error) reply {
	for name, known := range wireErrors() {
		if errors.Is(err, known) {
			return reply{ID: id, Error: name, Text: err.Error()}
		}
	}
	return reply{ID: id, Error: "other", Text: err.Error()}
}

// err returns the error that the reply carries.
func (r reply) err() error {
	if r.Error == "" {
		return nil
	}
	if known := wireErrors()[r.Error]; known != nil {
		return &wireError{text: r.Text, is: known}
	}
	return errors.New(r.Text)
}

// wireError is an error that came over the wire with its words.
type wireError struct {
	text string
	is   error
}

func (e *wireError) Error() string { return e.text }
func (e *wireError) Unwrap() error { return e.is }

func (s *Start) validate() error {
	if s == nil {
		return errors.New("a start without what to start")
	}
	if err := s.Key.validate(); err != nil {
		return err
	}
	if s.Path == "" || s.Dir == "" || len(s.Argv) == 0 {
		return fmt.Errorf("start of %s: it needs a path, arguments and a folder", s.Key)
	}
	return nil
}
