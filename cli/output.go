package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// printJSON writes a message with the field names of the contract, and with
// those that are zero, so that a script need not guess.
func printJSON(w io.Writer, message any) error {
	text, err := marshalJSON(message)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err = indented.WriteTo(w)
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
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.Map(plain, cell)
		}
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	_ = columns.Flush() // a buffer takes it all
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// plain keeps a cell on its line, whatever a program has written into a reason.
func plain(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}
