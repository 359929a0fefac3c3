package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is the most that goes through a buffer at a time. What fills one
	// comes in bulk.
	bufferSize = 16 << 10
	// pipeSize is how much the kernel may hold between two sockets.
	pipeSize = 256 << 10
	// pipesMax is how many pipes are kept for the next bulk.
	pipesMax = 64
)

// shared is what the connections have in common: one that waits for bytes has none
// of it.
type shared struct {
	buffers sync.Pool // of *[bufferSize]byte

	mu    sync.Mutex
	pipes []*pipe // that are empty and kept for the next bulk
}

// Close gives back what is kept. Nothing may be relayed any more.
func (s *shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pipes {
		p.close()
	}
	s.pipes = nil
}

func (s *shared) takeBuffer() *[bufferSize]byte {
	if buffer, ok := s.buffers.Get().(*[bufferSize]byte); ok {
		return buffer
	}
	return new([bufferSize]byte)
}

// pump passes all that comes from one connection to the other. It returns how much
// was passed; the error is nil at the end of what comes.
func (s *shared) pump(to, from Conn) (int64, error) {
	source, sourceErr := rawOf(from)
	target, targetErr := rawOf(to)
	if sourceErr != nil || targetErr != nil {
		return copied(to, from)
	}
	p := pumping{shared: s, to: to, source: source, target: target}
	for {
		bulk, err := p.step()
		if err == nil && bulk {
			err = p.splice()
		}
		if errors.Is(err, io.EOF) {
			return p.passed, nil
		}
		if err != nil {
			return p.passed, err
		}
	}
}

func rawOf(conn Conn) (syscall.RawConn, error) {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return socket.SyscallConn()
}

// pumping is one direction.
type pumping struct {
	shared         *shared
	to             Conn
	source, target syscall.RawConn
	passed         int64
}

// step waits for bytes, and passes those that fit into a buffer. It reports whether
// they filled it.
func (p *pumping) step() (bulk bool, err error) {
	var buffer *[bufferSize]byte
	var n int
	waited := p.source.Read(func(fd uintptr) bool {
		buffer = p.shared.takeBuffer()
		n, err = again(func() (int, error) { return unix.Read(int(fd), buffer[:]) })
		if n > 0 || !errors.Is(err, unix.EAGAIN) {
			return true
		}
		p.shared.buffers.Put(buffer)
		buffer = nil
		return false
	})
	if buffer == nil {
		return false, waited // the connection was closed while it waited
	}
	defer p.shared.buffers.Put(buffer)
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, io.EOF
	}
	written, err := p.to.Write(buffer[:n])
	p.passed += int64(written)
	return n == len(buffer), err
}

// splice passes what is there and what comes while it passes that, without a copy.
// It returns when nothing is there any more.
func (p *pumping) splice() error {
	pipe := p.shared.takePipe()
	if pipe == nil {
		return nil // no descriptor is left: the buffer does it, too
	}
	defer func() { p.shared.giveBack(pipe) }()
	for {
		n, err := p.fill(pipe)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.EOF
		}
		if err := p.drain(pipe); err != nil {
			return err
		}
	}
}

// fill moves into the pipe what is there, and waits for nothing.
func (p *pumping) fill(pipe *pipe) (n int, err error) {
	tried := p.source.Control(func(fd uintptr) {
		n, err = again(func() (int, error) { return splice(int(fd), pipe.write, pipeSize) })
	})
	pipe.held += max(0, n)
	return n, errors.Join(tried, err)
}

// drain moves all of the pipe on.
func (p *pumping) drain(pipe *pipe) (err error) {
	for pipe.held > 0 {
		var n int
		waited := p.target.Write(func(fd uintptr) bool {
			n, err = again(func() (int, error) { return splice(pipe.read, int(fd), pipe.held) })
			return !errors.Is(err, unix.EAGAIN)
		})
		if waited != nil {
			return waited
		}
		if err != nil {
			return err
		}
		pipe.held -= n
		p.passed += int64(n)
	}
	return nil
}

func splice(from, to, size int) (int, error) {
	n, err := unix.Splice(from, nil, to, nil, size, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	return int(n), err
}

// again calls do for as long as signals interrupt it.
func again(do func() (int, error)) (n int, err error) {
	for {
		if n, err = do(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// pipe holds bytes in the kernel on their way between two sockets.
type pipe struct {
	read, write int
	held        int // bytes in it
}

func (p *pipe) close() { _, _ = unix.Close(p.read), unix.Close(p.write) }

// takePipe returns an empty pipe, or nil if there can be none.
func (s *shared) takePipe() *pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.pipes) - 1; last >= 0 {
		kept := s.pipes[last]
		s.pipes = s.pipes[:last]
		return kept
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	// Where the kernel gives an unprivileged user no larger one, a smaller one does.
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize)
	return &pipe{read: ends[0], write: ends[1]}
}

// giveBack keeps an empty pipe, and closes one that holds what nobody wants.
func (s *shared) giveBack(p *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.held == 0 && len(s.pipes) < pipesMax {
		s.pipes = append(s.pipes, p)
	} else {
		p.close()
	}
}

// watch has the kernel find out that nobody is at the other end, also while it
// waits for receipts.
func watch(conn Conn) {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = socket.SetKeepAliveConfig(alive()) // fails only on a closed connection
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheardMax.Milliseconds()))
	})
}

// isUnconnected reports whether the other end has closed both ways already.
func isUnconnected(err error) bool { return errors.Is(err, unix.ENOTCONN) }
