package master

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/wire"
)

// encoded is a message M of the API whose bytes are there already, in several parts.
// Many answers may share a part: nobody changes it.
type encoded[M any] struct {
	parts [][]byte
	taken func() // called when the bytes are in an answer, and the parts not needed any more; or nil
}

// appendTo appends all parts.
func (e *encoded[M]) appendTo(text []byte) []byte {
	for _, part := range e.parts {
		text = append(text, part...)
	}
	return text
}

// take appends all parts, which the message has no longer then.
func (e *encoded[M]) take(text []byte) []byte {
	text = e.appendTo(text)
	if e.taken != nil {
		e.taken()
	}
	e.parts, e.taken = nil, nil
	return text
}

func (e *encoded[M]) size() int {
	size := 0
	for _, part := range e.parts {
		size += len(part)
	}
	return size
}

// set takes a message that came.
func (e *encoded[M]) set(text []byte) { e.parts = [][]byte{append([]byte(nil), text...)} }

// message reads the message, for who does not want its bytes.
func (e *encoded[M]) message() (proto.Message, error) {
	m, err := protoOf(new(M))
	if err != nil {
		return nil, err
	}
	return m, proto.Unmarshal(e.appendTo(nil), m)
}

// bytesAlready is any message whose bytes are there already.
type bytesAlready interface {
	take(text []byte) []byte
	size() int
	set(text []byte)
	message() (proto.Message, error)
}

// binary writes and reads messages as protobuf, and passes on those whose bytes are
// there already.
type binary struct{ wire.Codec }

var _ connect.Codec = binary{}

// withBinary has a handler, or a client, write and read such messages, too.
func withBinary() connect.Option { return connect.WithCodec(binary{}) }

// Marshal returns the bytes of a message.
func (c binary) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend appends the bytes of a message to text. A message whose bytes are there
// already is written once.
func (c binary) MarshalAppend(text []byte, message any) ([]byte, error) {
	if e, ok := message.(bytesAlready); ok {
		if need := len(text) + e.size(); need > cap(text) {
			text = append(make([]byte, 0, need), text...)
		}
		return e.take(text), nil
	}
	return c.Codec.MarshalAppend(text, message)
}

// MarshalStable returns the bytes of a message, the same for the same message.
func (c binary) MarshalStable(message any) ([]byte, error) {
	if _, ok := message.(bytesAlready); ok {
		return c.Marshal(message)
	}
	m, err := protoOf(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// IsBinary returns true.
func (binary) IsBinary() bool { return true }

// Unmarshal reads a message.
func (binary) Unmarshal(text []byte, message any) error {
	if e, ok := message.(bytesAlready); ok {
		e.set(text)
		return nil
	}
	m, err := protoOf(message)
	if err != nil {
		return err
	}
	if err := readApart(text, m); err != nil {
		return fmt.Errorf("%s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

// shallow is the longest message, in bytes, of which little is within something else.
const shallow = 32

// readApart reads a message, on a stack of its own where that may go deep.
func readApart(text []byte, m proto.Message) error {
	if len(text) <= shallow {
		return proto.Unmarshal(text, m)
	}
	return apart(func() error { return proto.Unmarshal(text, m) })
}
