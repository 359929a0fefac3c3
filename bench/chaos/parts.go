package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/machine"
	"github.com/aloft-run/aloft/bench/process"
)

// How many of each part there are, and where.
const (
	mastersCount, mastersFirst = 3, 11
	agentsCount, agentsFirst   = 5, 21
	routersCount, routersFirst = 2, 31

	apiPort, peerPort, httpPort, adminPort = "7117", "7118", "8080", "7119"
)

// part is one role of the cluster on a machine of its own.
type part struct {
	*machine.Machine
	argv []string
	log  string // path

	mu      sync.Mutex
	program process.Process // of the role itself; PID 0 while it is down
	harmed  bool            // by a fault that has not ended
}

// parts are the whole cluster.
type parts struct {
	folder  string
	masters []*part
	agents  []*part
	routers []*part
}

// newParts lists the parts and makes their folders; nothing runs yet.
func newParts(aloft, folder string) (*parts, error) {
	p := &parts{folder: folder}
	var problems []error
	add := func(kind string, count, first int) []*part {
		var list []*part
		for i := range count {
			name := fmt.Sprintf("%c%d", kind[0], i+1)
			data := filepath.Join(folder, name)
			problems = append(problems, os.MkdirAll(data, 0o755))
			m := machine.New(machine.Config{Name: name, Number: first + i, Folder: data})
			list = append(list, &part{
				Machine: m, log: filepath.Join(folder, name+".log"),
				argv: []string{aloft, kind, "--log-level", "info", "--data-dir", filepath.Join(data, "data")},
			})
		}
		return list
	}
	p.masters = add("master", mastersCount, mastersFirst)
	p.agents = add("agent", agentsCount, agentsFirst)
	p.routers = add("router", routersCount, routersFirst)
	var peers []string
	for _, m := range p.masters {
		peers = append(peers, m.Name()+"=http://"+m.IP()+":"+peerPort)
	}
	masters := strings.Join(p.apis(), ",")
	for _, m := range p.masters {
		m.argv = append(m.argv, "--name", m.Name(), "--listen", m.IP()+":"+apiPort, "--cluster", strings.Join(peers, ","))
	}
	for _, a := range p.agents {
		a.argv = append(a.argv, "--id", a.Name(), "--address", a.IP(), "--master", masters)
	}
	for _, r := range p.routers {
		r.argv = append(r.argv, "--id", r.Name(), "--http", r.IP()+":"+httpPort, "--admin", r.IP()+":"+adminPort, "--master", masters, "--access-log", accessLog(folder, r.Name()))
	}
	return p, errors.Join(problems...)
}

// accessLog is where a router tells of each request which instance had it.
func accessLog(folder, router string) string { return filepath.Join(folder, router+"-access.log") }

// apis returns the addresses of the masters.
func (p *parts) apis() []string {
	var list []string
	for _, m := range p.masters {
		list = append(list, m.IP()+":"+apiPort)
	}
	return list
}

// all returns every part.
func (p *parts) all() []*part { return slices.Concat(p.masters, p.agents, p.routers) }

// start boots the machines and starts what belongs on them.
func (p *parts) start(ctx context.Context) error {
	for _, one := range p.all() {
		if err := errors.Join(one.On(ctx), one.run()); err != nil {
			return err
		}
	}
	return nil
}

// off takes the power from all machines.
func (p *parts) off(ctx context.Context) error {
	var problems []error
	for _, one := range p.all() {
		problems = append(problems, one.Off(ctx))
	}
	return errors.Join(problems...)
}

// run starts the part's own program.
func (p *part) run() error {
	started, err := p.Start(machine.Program{Command: p.argv, Log: p.log})
	if err != nil {
		return err
	}
	p.becomes(started)
	return nil
}

// becomes notes which process is the part's own program.
func (p *part) becomes(program process.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.program = program
}

// pid returns the process of the part's own program.
func (p *part) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.program.PID
}

// harm notes that a fault begins or ends.
func (p *part) harm(begins bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harmed = begins
}

func (p *part) isHarmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.harmed
}

// signal sends a signal to the part's own program.
func (p *part) signal(s syscall.Signal) error {
	if err := syscall.Kill(p.pid(), s); err != nil {
		return fmt.Errorf("%s: signal %s: %w", p.Name(), s, err)
	}
	return nil
}

// end sends a signal and waits until the program has ended.
func (p *part) end(ctx context.Context, s syscall.Signal) error {
	if err := p.signal(s); err != nil {
		return err
	}
	return p.gone(ctx, p.pid())
}

// gone waits until a process has ended, and was reaped.
func (p *part) gone(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	return until(ctx, fmt.Sprintf("process %d of %s has ended", pid, p.Name()), func() (bool, error) {
		return hasEnded(pid), nil
	})
}

// hasEnded reports whether a process has ended, and was reaped.
func hasEnded(pid int) bool {
	_, err := process.Find(pid)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// killAll kills every process of the machine, which itself stays.
func (p *part) killAll(ctx context.Context) error {
	return until(ctx, "all processes of "+p.Name()+" have ended", func() (bool, error) {
		alive, err := p.Processes()
		for _, one := range alive {
			_ = syscall.Kill(one.PID, syscall.SIGKILL) // it may have ended
		}
		return len(alive) == 0, err
	})
}

// supervisor returns the process of an agent's supervisor. It may not be there yet: an
// agent that lost its supervisor to the fault before is in service all the same while
// it starts the next one.
func (p *part) supervisor(ctx context.Context) (found process.Process, err error) {
	ctx, cancel := context.WithTimeout(ctx, supervisorWithin)
	defer cancel()
	err = until(ctx, p.Name()+" has a supervisor", func() (bool, error) {
		all, err := p.Processes()
		at := slices.IndexFunc(all, func(one process.Process) bool { return strings.Contains(one.Command, " supervisor --dir ") })
		if at >= 0 {
			found = all[at]
		}
		return at >= 0, err
	})
	return found, err
}

// supervisorWithin is how long an agent may be without a supervisor.
const supervisorWithin = 10 * time.Second

// attempt is a task's program on a machine.
type attempt struct {
	task   string
	number string
	pid    int
}

// attempts returns the programs of tasks that run on the machine.
func (p *part) attempts() ([]attempt, error) {
	all, err := p.Processes()
	var found []attempt
	for _, one := range all {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", one.PID)) // gone: none
		a := attempt{pid: one.PID}
		for variable := range strings.SplitSeq(string(environment), "\x00") {
			name, value, _ := strings.Cut(variable, "=")
			switch name {
			case "ALOFT_TASK_ID":
				a.task = value
			case "ALOFT_ATTEMPT":
				a.number = value
			}
		}
		if a.task != "" {
			found = append(found, a)
		}
	}
	return found, err
}

// isReady asks a master or router whether it can do its work.
func (p *part) isReady(ctx context.Context, port string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.IP()+":"+port+"/readyz", nil)
	if err != nil {
		return false
	}
	get.Close = true
	response, err := http.DefaultClient.Do(get)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// until asks every 50 ms until the answer is true.
func until(ctx context.Context, what string, ask func() (bool, error)) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		done, err := ask()
		switch {
		case done:
			return err
		case ctx.Err() != nil:
			return errors.Join(fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx)), err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

// pause waits, and reports whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
