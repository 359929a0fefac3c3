package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process that was started under one of these names is the first one of a world
// or of a machine.
const (
	worldName   = "aloft-bench-world"
	machineName = "aloft-bench-machine"
	switchName  = "switch"
)

// Missing tells why this process cannot make machines, or nothing if it can.
func Missing() error {
	if os.Geteuid() != 0 {
		return errors.New("machines out of namespaces need root")
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("machines need the command %s: %w", tool, err)
		}
	}
	try := exec.Command("true") //nolint:noctx // it ends at once
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	if err := try.Run(); err != nil {
		return fmt.Errorf("machines need namespaces, which are not given here: %w", err)
	}
	return nil
}

// Main runs a function in a world in which machines can be made, and returns its
// exit code. It is called once, first of all, by main or TestMain: the world's
// processes are the same program, and come here too.
func Main(run func() int) int {
	var err error
	code := 1
	switch os.Args[0] {
	case worldName:
		if err = openWorld(); err == nil {
			return run()
		}
	case machineName:
		err = beFirst()
	default:
		code, err = enterWorld()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "machine:", err)
	}
	return code
}

// enterWorld starts this program again as the first process of a world, passes
// signals on, and returns its exit code.
func enterWorld() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	runtime.LockOSThread()                      // the world ends with this thread
	world := exec.Command(self, os.Args[1:]...) //nolint:noctx // it ends with this process
	world.Args[0] = worldName
	world.Stdin, world.Stdout, world.Stderr = os.Stdin, os.Stdout, os.Stderr
	world.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // Ctrl-C comes through this process alone
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
	}
	signals := make(chan os.Signal, 1) // a second one while the first is passed on adds nothing
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := world.Start(); err != nil {
		return 1, err
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = world.Process.Signal(s)
			case <-done:
				return
			}
		}
	}()
	_ = world.Wait() // its state tells it
	if code = world.ProcessState.ExitCode(); code < 0 {
		return 1, fmt.Errorf("the world ended with %s", world.ProcessState)
	}
	return code, nil
}

// openWorld gives the world its view of processes, and its switch.
func openWorld() error {
	if err := ownProc(); err != nil {
		return err
	}
	ctx := context.Background()
	return errors.Join(
		ip(ctx, "link", "set", "lo", "up"),
		ip(ctx, "link", "add", switchName, "type", "bridge"),
		ip(ctx, "addr", "add", World+"/24", "dev", switchName),
		ip(ctx, "link", "set", switchName, "up"),
	)
}

// ownProc shows the processes of this namespace in /proc, to it alone.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts to itself: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}
