package master

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/wire"
)

// strictJSON reads and writes messages as JSON. Unlike connect's own codec it
// refuses a field that it does not know: a misspelled one would else be as good
// as absent, and the call would do something that nobody asked for.
type strictJSON struct{ name string }

var _ connect.Codec = strictJSON{}

// withStrictJSON has a handler read JSON strictly, under both names that connect
// gives it.
func withStrictJSON() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}))
}

// Name returns the name by which a content type selects the codec.
func (c strictJSON) Name() string { return c.name }

// Marshal returns a message as JSON.
func (c strictJSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend appends a message as JSON to text.
func (strictJSON) MarshalAppend(text []byte, message any) ([]byte, error) {
	m, err := protoOf(message)
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{}.MarshalAppend(text, m)
}

// MarshalStable returns a message as JSON, the same for the same message.
func (c strictJSON) MarshalStable(message any) ([]byte, error) {
	text, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil { // the spaces of protojson differ from build to build
		return nil, err
	}
	return compact.Bytes(), nil
}

// IsBinary returns false: JSON is text.
func (strictJSON) IsBinary() bool { return false }

// Unmarshal reads a message. The error names a field that the message has not.
func (strictJSON) Unmarshal(text []byte, message any) error {
	m, err := protoOf(message)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return errors.New("the body is empty; want a JSON object, {} at least")
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return fmt.Errorf("%s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

func protoOf(message any) (proto.Message, error) {
	if e, ok := message.(bytesAlready); ok {
		return e.message()
	}
	return wire.MessageOf(message)
}
