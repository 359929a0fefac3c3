// Package machine makes machines out of namespaces for a bench: each has a
// network, a process table, a host name and a boot id of its own, and can lose its
// power, its network, or one direction of it.
//
// All of it lives in a world of its own, which Main makes: the machines' processes
// and networks are the world's, so that the kernel takes them away when its first
// process ends, however that ends. Nothing on the outside is changed.
package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/bench/process"
)

// ErrOff is the error for what needs a machine that runs.
var ErrOff = errors.New("the machine is off")

// network is that of all machines; the world itself is number 1.
const network = "10.213.0."

// World is the address at which machines reach the process that made them.
const World = network + "1"

// Config is what a machine is made of.
type Config struct {
	Name   string
	Number int    // the last part of its address, 2 to 254
	Folder string // for what belongs to the machine itself
}

// Machine is one machine. Its methods may be called from several goroutines, one
// of Off and On at a time.
type Machine struct {
	cfg Config

	mu    sync.Mutex
	init  *exec.Cmd // nil while it is off
	line  *net.UnixConn
	boots int
}

// New makes a machine that is off.
func New(cfg Config) *Machine { return &Machine{cfg: cfg} }

// Name returns its name.
func (m *Machine) Name() string { return m.cfg.Name }

// IP returns its address.
func (m *Machine) IP() string { return network + strconv.Itoa(m.cfg.Number) }

// On starts the machine, with another boot id each time.
func (m *Machine) On(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots++
	bootID := filepath.Join(m.cfg.Folder, "boot_id")
	text := fmt.Sprintf("%08x-0000-4000-8000-%012x\n", m.boots, m.cfg.Number)
	if err := os.WriteFile(bootID, []byte(text), 0o600); err != nil {
		return err
	}
	ours, theirs, err := linePair()
	if err != nil {
		return err
	}
	defer func() { _ = theirs.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	first := exec.Command(self, m.cfg.Name, bootID) //nolint:noctx // Off ends it
	first.Args[0] = machineName
	first.ExtraFiles = []*os.File{theirs}
	first.Stderr = os.Stderr
	first.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := first.Start(); err != nil {
		return errors.Join(fmt.Errorf("machine %s: %w", m.cfg.Name, err), ours.Close())
	}
	m.init, m.line = first, ours
	return m.connect(ctx)
}

// connect gives the machine its network card: one end of a cable to the switch.
func (m *Machine) connect(ctx context.Context) error {
	card := fmt.Sprintf("address 02:00:00:00:00:%02x", m.cfg.Number) // as a real one, which neighbours remember
	err := ip(ctx, strings.Fields(fmt.Sprintf("link add %s type veth peer name eth0 %s netns %d", m.port(), card, m.init.Process.Pid))...)
	if err != nil {
		return err
	}
	return errors.Join(
		ip(ctx, "link", "set", m.port(), "master", switchName, "up"),
		m.inside(ctx, "", "ip", "link", "set", "lo", "up"),
		m.inside(ctx, "", "ip", "addr", "add", m.IP()+"/24", "dev", "eth0"),
		m.inside(ctx, "", "ip", "link", "set", "eth0", "up"),
	)
}

// port is the switch's end of the cable.
func (m *Machine) port() string { return "sw-" + m.cfg.Name }

// Off takes the power away: the machine says nothing more to anybody, and all its
// processes end. It returns when they have.
func (m *Machine) Off(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.init == nil {
		return nil
	}
	cut := ip(ctx, "link", "set", m.port(), "down")
	killed := m.init.Process.Kill()
	_ = m.init.Wait() // the kernel ends all others first
	_ = m.line.Close()
	m.init, m.line = nil, nil
	return errors.Join(cut, killed, m.unplug(ctx))
}

// unplug takes the cable away, unless the kernel has with the machine's end.
func (m *Machine) unplug(ctx context.Context) error {
	removed := ip(ctx, "link", "del", m.port())
	links, err := net.Interfaces()
	if err != nil || slices.ContainsFunc(links, func(l net.Interface) bool { return l.Name == m.port() }) {
		return errors.Join(removed, err)
	}
	return nil
}

// Program is what a machine starts.
type Program struct {
	Command []string
	Log     string // file to which all its output is added
}

// Start starts a program on the machine and returns its process.
func (m *Machine) Start(program Program) (process.Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.init == nil {
		return process.Process{}, fmt.Errorf("machine %s: start %s: %w", m.cfg.Name, program.Command[0], ErrOff)
	}
	inner, err := ask(m.line, program)
	if err != nil {
		return process.Process{}, fmt.Errorf("machine %s: start %s: %w", m.cfg.Name, program.Command[0], err)
	}
	started, err := process.Descendants(m.init.Process.Pid)
	if err != nil {
		return process.Process{}, err
	}
	at := slices.IndexFunc(started, func(p process.Process) bool { return pidInside(p.PID) == inner })
	if at < 0 {
		return process.Process{}, fmt.Errorf("machine %s: %s ended at once", m.cfg.Name, strings.Join(program.Command, " "))
	}
	return started[at], nil
}

// Processes returns what runs on the machine, without its first process.
func (m *Machine) Processes() ([]process.Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.init == nil {
		return nil, nil
	}
	return process.Descendants(m.init.Process.Pid)
}

// Direction is which packets of a machine are lost.
type Direction struct{ In, Out bool }

// Both is a network that is gone altogether.
var Both = Direction{In: true, Out: true} //nolint:gochecknoglobals // a value, never changed

// Cut loses the packets of a direction: those of some other machines, or all when
// none is named. Cuts add up until Heal.
func (m *Machine) Cut(ctx context.Context, lost Direction, others ...*Machine) error {
	var rules strings.Builder
	rule := func(chain, card, peer string) {
		if len(others) == 0 {
			fmt.Fprintf(&rules, "-A %s %s eth0 -j DROP\n", chain, card)
		}
		for _, other := range others {
			fmt.Fprintf(&rules, "-A %s %s eth0 %s %s -j DROP\n", chain, card, peer, other.IP())
		}
	}
	if lost.In {
		rule("INPUT", "-i", "-s")
	}
	if lost.Out {
		rule("OUTPUT", "-o", "-d")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inside(ctx, "*filter\n"+rules.String()+"COMMIT\n", "iptables-restore", "-w", "--noflush") // all at once, by one process
}

// Heal ends all cuts.
func (m *Machine) Heal(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inside(ctx, "", "iptables", "-w", "-F")
}

// inside runs a command of the bench in the machine's network, and gives it input to read.
func (m *Machine) inside(ctx context.Context, input, name string, arguments ...string) error {
	if m.init == nil {
		return fmt.Errorf("machine %s: %s: %w", m.cfg.Name, name, ErrOff)
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.init.Process.Pid))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	done := make(chan error, 1) // the one result
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network of %s: %w", m.cfg.Name, err)
			return
		}
		done <- feed(ctx, input, name, arguments...)
	}()
	return <-done
}

// ip runs ip(8), which must succeed.
func ip(ctx context.Context, arguments ...string) error { return feed(ctx, "", "ip", arguments...) }

// feed runs a command that reads input and must succeed.
func feed(ctx context.Context, input, name string, arguments ...string) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, arguments...)
	cmd.Stdin = strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// pidInside returns the number that a process has on its machine.
func pidInside(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone: none
	for line := range strings.Lines(string(status)) {
		if numbers, found := strings.CutPrefix(line, "NSpid:"); found {
			fields := strings.Fields(numbers)
			inner, _ := strconv.Atoi(fields[len(fields)-1])
			return inner
		}
	}
	return 0
}
