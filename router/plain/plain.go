// Package plain reads the heads of plain HTTP/1.1: the strict subset of the
// protocol that nearly all requests and answers keep to, without allocating.
//
// The law: a head that is taken as Whole means here what it means to net/http, and
// nothing else that a proxy must know is in it. All that is unusual, doubtful or
// wrong is Odd, and is for net/http to judge, which then reads the same bytes. So
// nothing doubtful is interpreted twice.
package plain

import (
	"bytes"
	"errors"
)

// ErrTrailer is the error for a line after a chunked body that may not be there.
var ErrTrailer = errors.New("not a field that may follow a body")

// Verdict is what can be said of the bytes that have come.
type Verdict int

const (
	// Partial means that more must come.
	Partial Verdict = iota
	// Whole means that the head is here and plain.
	Whole
	// Odd means that net/http must read it.
	Odd
)

// span is a part of the buffer.
type span struct{ from, to int }

// fields are the lines of a head that are passed on, in the order in which they
// came. Lines that follow each other make one span.
type fields []span

func (f fields) keep(from, to int) fields {
	if last := len(f) - 1; last >= 0 && f[last].to == from {
		f[last].to = to
		return f
	}
	return append(f, span{from, to})
}

// line returns where the line that begins at from ends, and where the next one
// begins. It must end in CR and LF.
func line(buffer []byte, from int) (end, next int, verdict Verdict) {
	feed := bytes.IndexByte(buffer[from:], '\n')
	if feed < 0 {
		return 0, 0, Partial
	}
	if feed == 0 || buffer[from+feed-1] != '\r' {
		return 0, 0, Odd
	}
	return from + feed - 1, from + feed + 1, Whole
}

// field splits a line of a head into its name and its value, which is trimmed.
func field(text []byte, values *class) (name, value []byte, ok bool) {
	colon := 0
	for colon < len(text) && token[text[colon]] {
		colon++
	}
	if colon == 0 || colon == len(text) || text[colon] != ':' {
		return nil, nil, false
	}
	value = text[colon+1:]
	for _, b := range value {
		if !values[b] {
			return nil, nil, false
		}
	}
	for len(value) > 0 && isBlank(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isBlank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return text[:colon], value, true
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// number reads a length. Signs, spaces and leading zeros are odd.
func number(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 15 || text[0] == '0' && len(text) > 1 {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = 10*n + int64(b-'0')
	}
	return n, true
}

// is compares a text with one in lower case.
func is(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range text {
		b := text[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}

// class is a set of bytes.
type class [256]bool

func newClass(ranges, others string) (c class) {
	for i := 0; i < len(ranges); i += 2 {
		for b := int(ranges[i]); b <= int(ranges[i+1]); b++ {
			c[b] = true
		}
	}
	for i := range len(others) {
		c[others[i]] = true
	}
	return c
}

// The sets never change.
//
//nolint:gochecknoglobals // tables that are made once, since they are asked for each byte
var (
	token   = newClass("azAZ09", "!#$%&'*+-.^_`|~")
	ascii   = newClass(" ~", "\t")
	octets  = newClass(" ~\x80\xff", "\t")
	inPath  = newClass("azAZ09", "-_.~$&+,/:;=@!'()*[]")
	inQuery = newClass("!\"$~", "")
	inHost  = newClass("azAZ09", ".-_:[]")
)

// Digit returns the value of a hexadecimal digit.
func Digit(b byte) (value byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

// AppendTrailer appends a line that came after a chunked body, without its end,
// with one. What would be a word on how to read the message may not come so late.
func AppendTrailer(to, text []byte) ([]byte, error) {
	name, _, ok := field(text, &octets)
	if !ok || kindOf(name) != other {
		return to, ErrTrailer
	}
	return append(append(to, text...), "\r\n"...), nil
}
