package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Client is one connection to a supervisor. The newest one has the say: an
// older one can only list, and gets ErrSuperseded else. Its methods may be
// called from any goroutine; when the connection has ended they return ErrGone, and
// ErrUnsent where it had ended before.
type Client struct {
	dir  string
	conn net.Conn

	exits   chan Exit
	wake    chan struct{} // holds 1: exits wait
	gone    chan struct{} // closed when the connection has ended
	closing chan struct{} // closed by Close
	once    sync.Once
	working sync.WaitGroup

	sending sync.Mutex // one line at a time on conn

	mu      sync.Mutex
	pid     int  // of the supervisor; 0 until it said hello
	format  int  // of what it hands over; 0 if it cannot
	heir    bool // it was asked to hand over, and its process may live on
	lastID  uint64
	callers map[uint64]chan reply // each holds 1
	queue   []Exit
}

// Dial connects to the supervisor of a folder.
func Dial(ctx context.Context, dir string) (*Client, error) {
	var conn net.Conn
	err := viaShortPath(dir, func(dir string) error {
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketName))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("supervisor in %s: %w", dir, err)
	}
	c := &Client{
		dir:     dir,
		conn:    conn,
		exits:   make(chan Exit),
		wake:    make(chan struct{}, 1),
		gone:    make(chan struct{}),
		closing: make(chan struct{}),
		callers: make(map[uint64]chan reply),
	}
	c.working.Go(c.read)
	c.working.Go(c.deliver)
	hello, err := c.call(ctx, request{Op: opHello, Version: version})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("supervisor in %s: %w", dir, err), c.Close())
	}
	c.mu.Lock()
	c.pid, c.format = hello.PID, hello.Format
	c.mu.Unlock()
	return c, nil
}

// PID returns the number of the supervisor's process.
func (c *Client) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Start starts a program and returns its process number. When it returns nil,
// the attempt's exit will come, also if the program could not be executed: then
// the number is 0 and the exit says why.
func (c *Client) Start(ctx context.Context, start Start) (pid int, err error) {
	op := opStart
	if start.Lease.Until != 0 {
		op = opLeased
	}
	answer, err := c.call(ctx, request{Op: op, Start: &start})
	return answer.PID, err
}

// Prolong gives leases more time. Those that have run out, and those of attempts that have
// ended, are left out.
func (c *Client) Prolong(ctx context.Context, leases []Lease) error {
	_, err := c.call(ctx, request{Op: opProlong, Leases: leases})
	return err
}

// Stop sends SIGTERM to the program's process group, and after grace SIGKILL to
// all that is left of the attempt. It does not wait: the exit comes as all do.
// The supervisor keeps the time, so the stop goes on without its client.
func (c *Client) Stop(ctx context.Context, key Key, grace time.Duration) error {
	_, err := c.call(ctx, request{Op: opStop, Key: key, Grace: grace})
	return err
}

// Signal sends a signal to the program, or to its whole process group.
func (c *Client) Signal(ctx context.Context, key Key, signal unix.Signal, group bool) error {
	_, err := c.call(ctx, request{Op: opSignal, Key: key, Signal: int(signal), Group: group})
	return err
}

// KillAll sends SIGKILL to the program and to all that it started.
func (c *Client) KillAll(ctx context.Context, key Key) error {
	_, err := c.call(ctx, request{Op: opKill, Key: key})
	return err
}

// List returns the attempts that run, and those that ended and were not
// forgotten, by task and attempt.
func (c *Client) List(ctx context.Context) ([]Task, error) {
	answer, err := c.call(ctx, request{Op: opList})
	return answer.Tasks, err
}

// Forget drops the exit of an attempt that has ended. It stays known that the
// attempt was started.
func (c *Client) Forget(ctx context.Context, key Key) error {
	_, err := c.call(ctx, request{Op: opForget, Key: key})
	return err
}

// Shutdown tells the supervisor to refuse starts and to end when no task runs,
// and waits until it has and another one may take its folder.
func (c *Client) Shutdown(ctx context.Context) error {
	if _, err := c.call(ctx, request{Op: opShutdown}); err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	due := time.NewTicker(dialEvery)
	defer due.Stop()
	for {
		select {
		case <-due.C:
			if isFree(c.dir) {
				reapChild(c.PID())
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("supervisor shutdown: %w", context.Cause(ctx))
		}
	}
}

// Exits returns the channel of what ends from now on. It is closed when the
// connection has ended and all that came was taken, or by Close.
func (c *Client) Exits() <-chan Exit { return c.exits }

// Close ends the connection and all that the client started. The supervisor and
// its tasks go on.
func (c *Client) Close() error {
	c.once.Do(func() { close(c.closing) })
	err := c.conn.Close()
	c.working.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// call sends a request and waits for its reply.
func (c *Client) call(ctx context.Context, r request) (reply, error) {
	answered := make(chan reply, 1)
	c.mu.Lock()
	c.lastID++
	r.ID = c.lastID
	c.callers[r.ID] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.callers, r.ID)
		c.mu.Unlock()
	}()
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, fmt.Errorf("supervisor request: %w", err)
	}
	c.sending.Lock()
	sent, err := c.conn.Write(append(line, '\n'))
	c.sending.Unlock()
	if err != nil {
		select {
		case <-c.gone: // read has found out who left: this side closes next
		case <-ctx.Done():
		}
		if sent == 0 {
			return reply{}, fmt.Errorf("%w: %v", ErrUnsent, err)
		}
		return reply{}, fmt.Errorf("%w: %v", ErrGone, err)
	}
	select {
	case answer := <-answered:
		return answer, answer.err()
	case <-c.gone:
		return late(answered)
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	}
}

// late returns the reply that came just before the connection ended, if any.
func late(answered <-chan reply) (reply, error) {
	select {
	case answer := <-answered:
		return answer, answer.err()
	default:
		return reply{}, ErrGone
	}
}

// read hands out what comes, until the connection ends.
func (c *Client) read() {
	defer func() {
		_ = c.conn.Close() // it has ended
		died := c.dead()   // first: who hears that it is gone calls Close
		close(c.gone)
		reapChild(died)
	}()
	lines := bufio.NewScanner(c.conn)
	lines.Buffer(nil, replyBytesMax)
	for lines.Scan() {
		var r reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			return // not a supervisor of ours
		}
		c.mu.Lock()
		if r.ID == 0 && r.Exit != nil {
			c.queue = append(c.queue, *r.Exit)
		}
		answered := c.callers[r.ID]
		c.mu.Unlock()
		if answered != nil {
			answered <- r // the only reply to this number
			continue
		}
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// deliver hands out exits at the pace of who takes them, so that replies do not
// wait behind them. What came before the connection ended is handed out, too.
func (c *Client) deliver() {
	defer close(c.exits)
	for ended := false; ; {
		for exit, ok := c.next(); ok; exit, ok = c.next() {
			select {
			case c.exits <- exit:
			case <-c.closing:
				return
			}
		}
		if ended {
			return
		}
		select {
		case <-c.wake:
		case <-c.gone:
			ended = true
		}
	}
}

func (c *Client) next() (Exit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return Exit{}, false
	}
	exit := c.queue[0]
	c.queue = c.queue[1:]
	return exit, true
}
