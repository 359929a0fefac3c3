package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// victim is the master whose disk becomes full, counted from 0, and smallDisk is how
// large that is: two segments of etcd's log, and not much more.
const (
	victim    = 1
	smallDisk = "size=192m"
)

// TestADiskBecomesFull: of three masters one has a disk that is told to be low, and then
// fills. It ends and says why, the others go on, it is not started while there is no room,
// and comes back with all that it missed when there is.
func TestADiskBecomesFull(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a disk that is small")
	}
	m := mastersOnSmallDisk(t)
	if m.leader() == victim {
		if _, err := m.client(0).TransferLeadership(t.Context(), connect.NewRequest(&pb.TransferLeadershipRequest{})); err != nil {
			t.Fatal(err)
		}
	}
	m.eventually("its disk is told to be low", func() bool {
		return strings.Contains(m.says("status"), "master m2: its disk has less than 256MiB left")
	})
	if metrics := m.metrics(victim); !strings.Contains(metrics, "\naloft_master_disk_free_bytes ") {
		t.Errorf("its metrics say nothing of the disk:\n%s", tail(metrics, 20))
	}
	filler := filepath.Join(m.dir, "m2", "filler")

	fill(t, filler)
	written := m.writeUntilEnd(victim)

	m.checkLog("the disk of the data folder is full: this process ends")
	m.eventually("it is absent", func() bool { return strings.Contains(m.says("status"), "master m2 is absent") })
	m.deploy("without-it")

	m.start(victim)
	<-m.ended[victim]
	m.checkLog("its disk has 0 left, and a master wants at least 16MiB to start; make room")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	m.start(victim)
	m.eventually("it stands by again", func() bool { return strings.Contains(m.says("masters"), "m2      standby") })
	for _, name := range []string{written, "without-it"} {
		if _, err := m.only(victim).GetService(t.Context(), connect.NewRequest(&pb.GetServiceRequest{Service: name})); err != nil {
			t.Errorf("through the master that came back, service %s is %v", name, err)
		}
	}
}

// mastersOnSmallDisk starts three masters, of which the victim has a small disk.
func mastersOnSmallDisk(t *testing.T) *masters {
	t.Helper()
	m := newMasters(t, 3)
	folder := filepath.Join(m.dir, fmt.Sprintf("m%d", victim+1))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("aloft", folder, "tmpfs", 0, smallDisk); err != nil {
		t.Skipf("no disk that is small can be made: %v", err)
	}
	t.Cleanup(func() {
		endAll(t, m.dir)
		err := syscall.Unmount(folder, 0)
		for deadline := time.Now().Add(patience); errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline); {
			<-time.After(20 * time.Millisecond) // who ends has no command line any more when it closes its files
			err = syscall.Unmount(folder, 0)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for i := range m.running {
		m.start(i)
	}
	return m
}

// fill makes a file that takes all that is left of its disk.
func fill(t *testing.T, file string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 64<<10)
	for err == nil {
		_, err = out.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeUntilEnd makes the state larger until a master has ended, and returns the last
// service that it made.
func (m *masters) writeUntilEnd(i int) (name string) {
	m.Helper()
	deadline := time.After(patience)
	for n := 0; ; n++ {
		select {
		case <-m.ended[i]:
			if code := m.running[i].ProcessState.ExitCode(); code != 1 {
				m.Errorf("it ended with code %d, want 1", code)
			}
			return name
		case <-deadline:
			m.Fatalf("it has not ended on a full disk after %d services", n)
		default:
		}
		name = fmt.Sprintf("large-%d", n)
		text := fmt.Sprintf("service: %s\ninstances: 0\nrun: {command: [a], env: {A: %s}}\n", name, strings.Repeat("x", 100<<10))
		file := &pb.SpecFile{Name: "spec.yaml", Text: []byte(text)}
		if _, err := m.client(0).Deploy(m.Context(), connect.NewRequest(&pb.DeployRequest{Files: []*pb.SpecFile{file}})); err != nil {
			m.Fatalf("a change while the disk of one master of three is full: %v", err)
		}
	}
}

// says returns what a command of the binary prints.
func (m *masters) says(arguments ...string) string {
	m.Helper()
	var addresses []string
	for i := range m.running {
		addresses = append(addresses, net.JoinHostPort(m.address(i), m.api))
	}
	command := exec.CommandContext(m.Context(), m.binary, arguments...)
	command.Env = append(os.Environ(), "ALOFT_ADDR="+strings.Join(addresses, ","))
	output, _ := command.CombinedOutput() // an error is printed
	return string(output)
}

// metrics returns the metrics of a master.
func (m *masters) metrics(i int) string {
	m.Helper()
	get, err := http.NewRequestWithContext(m.Context(), http.MethodGet, "http://"+net.JoinHostPort(m.address(i), m.api)+"/metrics", nil)
	if err != nil {
		m.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(get)
	if err != nil {
		m.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.Fatal(err)
	}
	return string(text)
}

// checkLog checks that the victim's log says something.
func (m *masters) checkLog(words string) {
	m.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, fmt.Sprintf("m%d.log", victim+1)))
	if err != nil || !strings.Contains(string(text), words) {
		m.Errorf("its log does not say %q, %v:\n%s", words, err, tail(string(text), 20))
	}
}

// eventually waits until what must become true is.
func (m *masters) eventually(what string, is func() bool) {
	m.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			m.Fatalf("not within %v: %s; there is\n%s", patience, what, m.says("masters"))
		}
		<-time.After(100 * time.Millisecond)
	}
}
