package wire

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// checkForm returns what of a message has no meaning to this version: a number
// that its enum has no name for, as a newer program may send, and a time or
// duration that is none. The error joins all and names each field.
func checkForm(m protoreflect.ProtoMessage) error {
	message := m.ProtoReflect()
	if outlineOf(message.Descriptor()).fits(message) {
		return nil
	}
	return errors.Join(formProblems(message, "")...)
}

func formProblems(m protoreflect.Message, at string) []error {
	switch special := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return asProblem(at, special.CheckValid())
	case *durationpb.Duration:
		return asProblem(at, special.CheckValid())
	}
	var problems []error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(field.Name())
		if at != "" {
			name = at + "." + name
		}
		switch {
		case field.IsMap(): // ours have plain values
		case field.IsList():
			for i := range value.List().Len() {
				problems = append(problems, valueProblems(field, value.List().Get(i), fmt.Sprintf("%s[%d]", name, i))...)
			}
		default:
			problems = append(problems, valueProblems(field, value, name)...)
		}
		return true
	})
	return problems
}

func valueProblems(field protoreflect.FieldDescriptor, value protoreflect.Value, at string) []error {
	switch {
	case field.Message() != nil:
		return formProblems(value.Message(), at)
	case field.Enum() != nil && field.Enum().Values().ByNumber(value.Enum()) == nil:
		return asProblem(at, fmt.Errorf("unknown value %d", value.Enum()))
	}
	return nil
}

func asProblem(at string, err error) []error {
	if err == nil {
		return nil
	}
	return []error{fmt.Errorf("%s: %w", at, err)}
}
