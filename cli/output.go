package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// printJSON writes a message with the field names of the contract, and with
// those that are zero, so that a script need not guess.
func printJSON(w io.Writer, message any) error {
	text, err := marshalJSON(message)
	if err != nil {
		return err
	}
	return printRaw(w, text)
}

// printRaw writes JSON text with line breaks.
func printRaw(w io.Writer, text []byte) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := indented.WriteTo(w)
	return err
}

// printLineJSON writes a message on one line: for streams.
func printLineJSON(w io.Writer, message any) error {
	text, err := marshalJSON(message)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err = line.WriteTo(w)
	return err
}

func marshalJSON(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return json.Marshal(message)
	}
	return protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
}

// table writes rows in columns, under a head.
func table(w io.Writer, head string, rows [][]string) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a broken pipe is the reader's choice
}

// age says how long ago something was, in the largest unit that fits.
func age(at *timestamppb.Timestamp, now time.Time) string {
	if at == nil {
		return "-"
	}
	return span(now.Sub(at.AsTime()))
}

// span prints a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

// quantity prints an amount as a spec file would say it.
func quantity(m *pb.Quantity) string {
	t, q, err := wire.ToQuantity(m)
	if err != nil {
		return "?"
	}
	if t == resource.Ports && q.Kind() == resource.KindScalar {
		return strconv.FormatInt(q.Amount(), 10) // how many, not which
	}
	return resource.Format(t, q)
}

// quantities prints amounts of several types on one line.
func quantities(list []*pb.Quantity) string {
	parts := make([]string, 0, len(list))
	for _, m := range list {
		parts = append(parts, m.GetType()+" "+quantity(m))
	}
	return orDash(strings.Join(parts, ", "))
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number[N int32 | int64 | int](n N) string { return strconv.FormatInt(int64(n), 10) }

// word returns the last part of an enum's name in lower case: TASK_STATE_READY
// is "ready".
func word(enum fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(enum.String(), prefix), "_", " "))
}

func taskState(s pb.TaskState) string { return word(s, "TASK_STATE_") }

func deploymentState(s pb.DeploymentState) string { return word(s, "DEPLOYMENT_STATE_") }

func kindOf(k pb.SpecKind) string { return word(k, "SPEC_KIND_") }

// exitText says how a program ended.
func exitText(e *pb.Exit) string {
	switch {
	case e == nil:
		return ""
	case e.GetOom():
		return "killed for lack of memory (OOM)"
	case e.GetError() != "":
		return e.GetError()
	case e.GetSignal() != 0:
		return "signal " + number(e.GetSignal())
	default:
		return "exit code " + number(e.GetCode())
	}
}
