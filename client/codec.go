package client

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/wire"
)

// answers writes and reads messages as protobuf, as connect's own codec does, and reads
// long answers in less time.
type answers struct{}

var _ connect.Codec = answers{}

// Name returns the name by which a content type selects the codec.
func (answers) Name() string { return "proto" }

// Marshal returns the bytes of a message.
func (answers) Marshal(message any) ([]byte, error) {
	m, err := protoOf(message)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

// MarshalAppend appends the bytes of a message to text.
func (answers) MarshalAppend(text []byte, message any) ([]byte, error) {
	m, err := protoOf(message)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{}.MarshalAppend(text, m)
}

// Unmarshal reads a message.
func (answers) Unmarshal(text []byte, message any) error {
	m, err := protoOf(message)
	if err != nil {
		return err
	}
	return wire.UnmarshalAnswer(text, m)
}

func protoOf(message any) (proto.Message, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message of protobuf", message)
	}
	return m, nil
}
