package router

import "sync"

// bufferPool lends the buffers through which answers are copied.
type bufferPool struct{ pool sync.Pool }

const answerBufferBytes = 32 << 10

func (p *bufferPool) Get() []byte {
	if buffer, ok := p.pool.Get().(*[answerBufferBytes]byte); ok {
		return buffer[:]
	}
	return new([answerBufferBytes]byte)[:]
}

func (p *bufferPool) Put(buffer []byte) { p.pool.Put((*[answerBufferBytes]byte)(buffer)) }

// buffer holds a request on the fast path, or a part of an answer.
type buffer [16 << 10]byte

//nolint:gochecknoglobals // a pool is shared by all
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// freeBuffer gives a buffer back, if it is there.
func freeBuffer(b **buffer) {
	if *b != nil {
		buffers.Put(*b)
		*b = nil
	}
}
