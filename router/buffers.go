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
