package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// Times between attempts to reach a supervisor.
const (
	reconnectMin = 50 * time.Millisecond
	reconnectMax = 5 * time.Second
)

// Config is what a Process runtime is made with. Zero fields get their defaults.
type Config struct {
	Agent      id.Agent     // names the cgroups; needed
	Dir        string       // the supervisor's folder; needed
	Supervisor []string     // the command that starts a supervisor for Dir; needed
	Limits     Limits       // default: LimitsSoft
	Log        *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.Limits == "" {
		c.Limits = LimitsSoft
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if err := id.Check(c.Agent); err != nil {
		problems = append(problems, fmt.Errorf("agent: %w", err))
	}
	if c.Dir == "" {
		problems = append(problems, errors.New("the supervisor needs a folder"))
	}
	if len(c.Supervisor) == 0 {
		problems = append(problems, errors.New("the command that starts a supervisor is missing"))
	}
	switch c.Limits {
	case LimitsOff, LimitsSoft, LimitsHard:
	default:
		problems = append(problems, fmt.Errorf("limits are %q; want off, soft or hard", c.Limits))
	}
	return errors.Join(problems...)
}

// Process runs programs on this machine. Run must be running for the other
// methods to get anywhere; they may be called from any goroutine, and wait for
// the supervisor until their context is done.
type Process struct {
	cfg     Config
	limiter *limiter
	exits   chan Exit

	mu        sync.Mutex
	client    *supervisor.Client
	connected chan struct{} // closed when client is set
}

// New returns a runtime that has not started anything.
func New(cfg Config) (*Process, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("runtime config: %w", err)
	}
	return &Process{
		cfg:       cfg,
		limiter:   newLimiter(cfg),
		exits:     make(chan Exit),
		connected: make(chan struct{}),
	}, nil
}

// Exits returns the channel of what ends. Each exit comes at least once, and
// again after the connection to the supervisor was lost, until Forget. It is
// never closed.
func (p *Process) Exits() <-chan Exit { return p.exits }

// Run keeps the connection to the supervisor, and starts one when there is
// none, until ctx is done. The supervisor and the tasks go on.
func (p *Process) Run(ctx context.Context) error {
	pause := reconnectMin
	for {
		client, err := p.reach(ctx)
		if err == nil {
			pause = reconnectMin
			err = p.attend(ctx, client)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.cfg.Log.WarnContext(ctx, "no supervisor; trying again", slog.Any("error", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, reconnectMax)
	}
}

// reach returns a connection to a supervisor that runs the binary of this
// process, as far as it can be had: its tasks run on also under another one.
func (p *Process) reach(ctx context.Context) (*supervisor.Client, error) {
	client, err := supervisor.Ensure(ctx, p.cfg.Dir, p.cfg.Supervisor)
	if err != nil {
		return nil, err
	}
	renewed, err := client.Renew(ctx)
	switch {
	case err != nil:
		p.cfg.Log.WarnContext(ctx, "the supervisor goes on with another binary", slog.Any("error", err))
		return client, nil
	case renewed:
		p.cfg.Log.InfoContext(ctx, "the supervisor goes on with the binary of this agent", slog.Int("pid", client.PID()))
		_ = client.Close() // it has ended
		return supervisor.Ensure(ctx, p.cfg.Dir, p.cfg.Supervisor)
	}
	return client, nil
}

// attend hands out the exits of one connection until it ends.
func (p *Process) attend(ctx context.Context, client *supervisor.Client) error {
	defer func() { _ = client.Close() }() // the supervisor goes on
	kept, err := client.List(ctx)
	if err != nil {
		return err
	}
	p.limiter.removeOthers(kept)
	p.publish(client)
	defer p.unpublish()
	told := make(map[Key]bool) // also in the list, as it ended while we asked
	for _, task := range kept {
		if task.Exit == nil {
			continue
		}
		told[task.Key] = true
		if err := p.tell(ctx, *task.Exit); err != nil {
			return err
		}
	}
	for {
		select {
		case exit, open := <-client.Exits():
			if !open {
				return supervisor.ErrGone
			}
			if told[exit.Key] {
				delete(told, exit.Key)
				continue
			}
			if err := p.tell(ctx, exit); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Process) tell(ctx context.Context, exit supervisor.Exit) error {
	select {
	case p.exits <- exitFrom(exit):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Process) publish(client *supervisor.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = client
	close(p.connected)
}

func (p *Process) unpublish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = nil
	p.connected = make(chan struct{})
}

// supervisor returns the connection, and waits for one when there is none.
func (p *Process) supervisor(ctx context.Context) (*supervisor.Client, error) {
	for {
		p.mu.Lock()
		client, connected := p.client, p.connected
		p.mu.Unlock()
		if client != nil {
			return client, nil
		}
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, fmt.Errorf("no supervisor: %w", context.Cause(ctx))
		}
	}
}

// Start starts a program. Its errors wrap ErrNotFound, ErrNotExecutable,
// ErrUser, ErrSandbox, ErrAlreadyStarted or ErrClosing where one of them says
// what is wrong. What the kernel alone can tell, such as a missing interpreter,
// comes as an Exit with a StartError: then the error is ErrNeverRan.
func (p *Process) Start(ctx context.Context, launch Launch) error {
	start, err := prepare(launch)
	if err != nil {
		return fmt.Errorf("start %s: %w", launch.Key, err)
	}
	client, err := p.supervisor(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", launch.Key, err)
	}
	start.Cgroup = p.limiter.create(launch)
	pid, err := client.Start(ctx, start)
	if lost(client, err) {
		pid, err = p.startAgain(ctx, launch, start, mayHaveCome(err))
	}
	if err == nil && pid == 0 {
		return fmt.Errorf("start %s: %w", launch.Key, ErrNeverRan)
	}
	if err != nil {
		p.limiter.remove(start.Cgroup)
		return fmt.Errorf("start %s: %w", launch.Key, err)
	}
	return nil
}

// startAgain repeats a start that came to nothing because the connection was
// lost. While the answer to one is unknown, it may have happened: then the
// attempt is known.
func (p *Process) startAgain(ctx context.Context, launch Launch, start supervisor.Start, unknown bool) (pid int, err error) {
	for {
		client, err := p.supervisor(ctx)
		if err != nil {
			return 0, err
		}
		start.Cgroup = p.limiter.create(launch) // they may have been removed as nobody's
		pid, err = client.Start(ctx, start)
		if unknown && errors.Is(err, supervisor.ErrAlreadyStarted) {
			pid, err = pidOf(ctx, client, launch.Key)
		}
		if !lost(client, err) {
			return pid, err
		}
		unknown = unknown || mayHaveCome(err)
		select {
		case <-time.After(reconnectMin):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// mayHaveCome reports whether the supervisor may have done what was asked of it on a
// connection that is of no more use.
func mayHaveCome(err error) bool {
	return errors.Is(err, supervisor.ErrGone) && !errors.Is(err, supervisor.ErrUnsent)
}

// pidOf returns the process number of an attempt that the supervisor knows, 0 if
// it never ran. It waits while nobody can tell, between the fork and the exec.
func pidOf(ctx context.Context, client *supervisor.Client, key Key) (int, error) {
	for {
		known, err := client.List(ctx)
		i := slices.IndexFunc(known, func(t supervisor.Task) bool { return t.Key == key })
		if i < 0 {
			return 0, err
		}
		if known[i].PID != 0 || known[i].Exit != nil {
			return known[i].PID, nil
		}
		select {
		case <-time.After(reconnectMin):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// lost reports whether an error says that the connection is of no more use. It
// ends one that another client has taken over, so that Run opens a new one: the
// other may have left long ago.
func lost(client *supervisor.Client, err error) bool {
	if errors.Is(err, supervisor.ErrSuperseded) {
		_ = client.Close() // nothing is lost with it
		return true
	}
	return errors.Is(err, supervisor.ErrGone)
}

// Stop sends SIGTERM to the program's process group, and after grace SIGKILL to
// all that is left. It does not wait for the end: the exit tells of it. What
// has ended already is stopped.
func (p *Process) Stop(ctx context.Context, key Key, grace time.Duration) error {
	return p.ask(ctx, "stop", key, func(client *supervisor.Client) error { return client.Stop(ctx, key, grace) })
}

// Prolong gives the leases of attempts more time. An attempt whose lease nobody renews has
// ended by then, also when this process is stopped or killed.
func (p *Process) Prolong(ctx context.Context, leases []Lease) error {
	return p.ask(ctx, "prolong leases", Key{}, func(client *supervisor.Client) error { return client.Prolong(ctx, leases) })
}

// Kill sends SIGKILL to the program and to all that it started.
func (p *Process) Kill(ctx context.Context, key Key) error {
	return p.ask(ctx, "kill", key, func(client *supervisor.Client) error { return client.KillAll(ctx, key) })
}

// Forget drops the exit of an attempt that has ended. Forgetting twice is the
// same as once.
func (p *Process) Forget(ctx context.Context, key Key) error {
	return p.ask(ctx, "forget", key, func(client *supervisor.Client) error { return client.Forget(ctx, key) })
}

// ask repeats what may be repeated until a supervisor has answered.
func (p *Process) ask(ctx context.Context, what string, key Key, do func(*supervisor.Client) error) error {
	for {
		client, err := p.supervisor(ctx)
		if err == nil {
			err = do(client)
		}
		switch {
		case err == nil:
			return nil
		case !lost(client, err):
			return fmt.Errorf("%s %s: %w", what, key, err)
		}
		select {
		case <-time.After(reconnectMin):
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w", what, key, context.Cause(ctx))
		}
	}
}

// List returns the attempts that run, and those that ended and were not
// forgotten, by task and attempt.
func (p *Process) List(ctx context.Context) ([]Task, error) {
	var list []Task
	err := p.ask(ctx, "list", Key{}, func(client *supervisor.Client) error {
		known, err := client.List(ctx)
		list = make([]Task, 0, len(known))
		for _, task := range known {
			one := Task{Key: task.Key, PID: task.PID, Started: task.Started}
			if task.Exit != nil {
				one.Exit = new(exitFrom(*task.Exit))
			}
			list = append(list, one)
		}
		return err
	})
	return list, err
}

// Shutdown tells the supervisor to refuse starts and to end when no task runs,
// and waits until it has. Run must have returned, so that it does not start
// another.
func (p *Process) Shutdown(ctx context.Context) error {
	client, err := supervisor.Dial(ctx, p.cfg.Dir)
	if err != nil {
		return nil // nobody answers: there is none to end
	}
	defer func() { _ = client.Close() }() // it has ended
	return client.Shutdown(ctx)
}
