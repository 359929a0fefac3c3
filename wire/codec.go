package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Codec writes and reads messages as protobuf, as connect's own codec does, and reads long
// answers in less time.
type Codec struct{}

// Name returns the name by which a content type selects the codec.
func (Codec) Name() string { return "proto" }

// Marshal returns the bytes of a message.
func (c Codec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend appends the bytes of a message to text.
func (Codec) MarshalAppend(text []byte, message any) ([]byte, error) {
	m, err := MessageOf(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{}.MarshalAppend(text, m)
}

// Unmarshal reads a message.
func (Codec) Unmarshal(text []byte, message any) error {
	m, err := MessageOf(message)
	if err != nil {
		return err
	}
	return UnmarshalAnswer(text, m)
}

// MessageOf returns what a codec is given as a message of protobuf.
func MessageOf(message any) (proto.Message, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message of protobuf", message)
	}
	return m, nil
}
