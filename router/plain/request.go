package plain

import (
	"bytes"
	"net/http"
)

// Request is the head of a request. Its slices are parts of the buffer that was
// read, and good for as long as that does not change.
type Request struct {
	Method string
	Target []byte // as it stands in the first line
	Path   []byte // decoded, without the query
	Host   []byte
	Length int64 // of the body
	Last   bool  // the client wants the connection closed after the answer
	Size   int   // of the head, in bytes

	buffer  []byte
	fields  fields
	decoded []byte // for Path
}

// Read reads the head of the request that buffer begins with. What r says counts
// only if the verdict is Whole.
func (r *Request) Read(buffer []byte) Verdict {
	*r = Request{buffer: buffer, fields: r.fields[:0], decoded: r.decoded[:0]}
	end, at, verdict := line(buffer, 0)
	if verdict != Whole {
		return verdict
	}
	if !r.readFirst(buffer[:end]) {
		return Odd
	}
	var seen counts
	for {
		end, next, verdict := line(buffer, at)
		if verdict != Whole {
			return verdict
		}
		if end == at {
			r.Size = next
			break
		}
		name, value, ok := field(buffer[at:end], &ascii)
		if !ok {
			return Odd
		}
		keep, ok := r.take(kindOf(name), value, &seen)
		if !ok {
			return Odd
		}
		if keep {
			r.fields = r.fields.keep(at, next)
		}
		at = next
	}
	if seen.of(host) != 1 || seen.of(pragma) > 0 && seen.of(cacheControl) == 0 {
		return Odd // net/http adds what a pragma stands for
	}
	return Whole
}

// counts says how often each kind of field was seen.
type counts [userAgent + 1]uint8

func (c *counts) of(k kind) uint8 { return c[k] }

// first notes a field, and reports whether it is the first of its kind.
func (c *counts) first(k kind) bool {
	c[k] |= c[k] + 1 // never falls back to zero
	return c[k] == 1
}

// readFirst reads the first line.
func (r *Request) readFirst(text []byte) bool {
	method, rest, _ := bytes.Cut(text, []byte(" "))
	target, found := bytes.CutSuffix(rest, []byte(" HTTP/1.1"))
	if !found || !r.takeMethod(method) {
		return false
	}
	r.Target = target
	if len(target) == 0 || target[0] != '/' || len(target) > 1 && target[1] == '/' {
		return false
	}
	path, query, _ := bytes.Cut(target, []byte("?"))
	for _, b := range query {
		if !inQuery[b] {
			return false
		}
	}
	return r.takePath(path)
}

func (r *Request) takeMethod(text []byte) bool {
	for _, known := range [...]string{
		http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions,
	} {
		if string(text) == known {
			r.Method = known
			return true
		}
	}
	return false
}

// takePath decodes the path. What net/http would spell otherwise is odd.
func (r *Request) takePath(path []byte) bool {
	escaped := false
	for _, b := range path {
		if b == '%' {
			escaped = true
		} else if !inPath[b] {
			return false
		}
	}
	if !escaped {
		r.Path = path
		return true
	}
	for i := 0; i < len(path); i++ {
		b := path[i]
		if b == '%' {
			if i+2 >= len(path) {
				return false
			}
			high, first := Digit(path[i+1])
			low, second := Digit(path[i+2])
			if !first || !second {
				return false
			}
			b = high<<4 | low
			i += 2
		}
		r.decoded = append(r.decoded, b)
	}
	r.Path = r.decoded
	return true
}

// take takes in what a field says, and reports whether the field is passed on and
// whether it is plain.
func (r *Request) take(k kind, value []byte, seen *counts) (keep, ok bool) {
	first := seen.first(k)
	switch k {
	case host:
		r.Host = value
		return false, first && len(value) > 0 && all(value, &inHost)
	case contentLength:
		r.Length, ok = number(value)
		return false, ok && first
	case connection:
		r.Last = is(value, "close")
		return false, first && (r.Last || is(value, "keep-alive"))
	case userAgent:
		return len(value) > 0, first
	case keepAlive, forwarded:
		return false, true
	case transferEncoding, unusual:
		return false, false
	case other, cacheControl, contentType, date, pragma:
	}
	return true, true
}

func all(text []byte, allowed *class) bool {
	for _, b := range text {
		if !allowed[b] {
			return false
		}
	}
	return true
}

// AppendFields appends the lines that are passed on as they came.
func (r *Request) AppendFields(to []byte) []byte { return r.fields.append(to, r.buffer) }

func (f fields) append(to, buffer []byte) []byte {
	for _, s := range f {
		to = append(to, buffer[s.from:s.to]...)
	}
	return to
}

// SaysLength reports whether its length is passed on even if it is zero.
func (r *Request) SaysLength() bool {
	return r.Length > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
}
