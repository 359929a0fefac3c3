package plain

// Answer is the head of an answer. It is good for as long as the buffer that was
// read does not change.
type Answer struct {
	Status    int
	Length    int64 // of the body; below 0: it is chunked
	Last      bool  // the instance closes the connection after it
	HasDate   bool
	KeepAlive []byte // what it says about how long the instance keeps the connection
	Size      int    // of the head, in bytes

	buffer []byte
	fields fields
}

// Read reads the head of the answer that buffer begins with, to a request for the
// head alone or not. What a says counts only if the verdict is Whole.
func (a *Answer) Read(buffer []byte, headOnly bool) Verdict {
	*a = Answer{buffer: buffer, fields: a.fields[:0]}
	end, at, verdict := line(buffer, 0)
	if verdict != Whole {
		return verdict
	}
	if !a.readFirst(buffer[:end]) {
		return Odd
	}
	var seen counts
	for {
		end, next, verdict := line(buffer, at)
		if verdict != Whole {
			return verdict
		}
		if end == at {
			a.Size = next
			return a.judge(headOnly, &seen)
		}
		name, value, ok := field(buffer[at:end], &octets)
		if !ok {
			return Odd
		}
		keep, ok := a.take(kindOf(name), value, &seen)
		if !ok {
			return Odd
		}
		if keep {
			a.fields = a.fields.keep(at, next)
		}
		at = next
	}
}

// readFirst reads the first line. What is not the last answer to the request is
// odd.
func (a *Answer) readFirst(text []byte) bool {
	const version = "HTTP/1.1 "
	code := len(version) + 3
	if len(text) < code || string(text[:len(version)]) != version || len(text) > code && text[code] != ' ' {
		return false
	}
	status, ok := number(text[len(version):code])
	a.Status = int(status)
	return ok && status >= 200 && status < 600 && all(text[code:], &octets)
}

func (a *Answer) take(k kind, value []byte, seen *counts) (keep, ok bool) {
	first := seen.first(k)
	switch k {
	case contentLength:
		a.Length, ok = number(value)
		return true, ok && first
	case transferEncoding:
		return false, first && is(value, "chunked")
	case connection:
		a.Last = is(value, "close")
		return false, first && (a.Last || is(value, "keep-alive"))
	case keepAlive:
		a.KeepAlive = value
		return false, first
	case date:
		a.HasDate = true
	case unusual:
		return false, false
	case other, cacheControl, contentType, forwarded, host, pragma, userAgent:
	}
	return true, true
}

// judge says whether it is plain where the body ends.
func (a *Answer) judge(headOnly bool, seen *counts) Verdict {
	counted, chunked := seen.of(contentLength) > 0, seen.of(transferEncoding) > 0
	switch {
	case counted && chunked:
		return Odd
	case a.Status == 204 || a.Status == 304: // net/http leaves out what says nothing
		if counted || chunked || seen.of(contentType) > 0 {
			return Odd
		}
	case headOnly:
		a.Length = 0
	case chunked:
		a.Length = -1
	case !counted: // it ends with the connection
		return Odd
	}
	return Whole
}

// AppendFields appends the lines that are passed on as they came.
func (a *Answer) AppendFields(to []byte) []byte { return a.fields.append(to, a.buffer) }
