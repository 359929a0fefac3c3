package supervisor_test

import (
	"bytes"
	"context"
	wire "encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/supervisor"
)

// The parts of the protocol of /dev/fuse that a file system of one file needs
// (include/uapi/linux/fuse.h). All numbers are in the order of the machine.
type (
	fuseRequest struct {
		Length, Op         uint32
		Number, Node       uint64
		UID, GID, PID, Pad uint32
	}
	fuseReply struct {
		Length uint32
		Error  int32
		Number uint64
	}
	fuseAttr struct {
		Ino, Size, Blocks, Atime, Mtime, Ctime uint64
		Nanos                                  [3]uint32
		Mode, Links, UID, GID, Rdev, Block     uint32
		Flags                                  uint32
	}
	fuseInit struct {
		Major, Minor, ReadAhead, Flags uint32
		Background, Congestion         uint16
		WriteMax, Grain                uint32
		Rest                           [9]uint32
	}
	fuseEntry struct {
		Node, Generation, Valid, AttrValid uint64
		Nanos                              [2]uint32
		Attr                               fuseAttr
	}
	fuseAttrReply struct {
		Valid uint64
		Nanos [2]uint32
		Attr  fuseAttr
	}
	fuseOpened struct {
		Handle     uint64
		Flags, Pad uint32
	}
)

const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetAttr     = 3
	fuseOpen        = 14
	fuseRead        = 15
	fuseRelease     = 18
	fuseInitialize  = 26
	fuseInterrupt   = 36
	fuseForgetMany  = 42
	fuseRoot        = 1
	fuseProgram     = 2
	fuseRequestSize = 128 << 10 // bytes, the longest that comes
)

// hangingDisk is a disk on which everything is found, and no read ends before heal.
type hangingDisk struct {
	program string
	asked   chan struct{} // closed when something is read

	device *os.File
	mu     sync.Mutex
	held   []fuseRequest // reads
	healed bool
	once   sync.Once
}

// hang mounts such a disk.
func hang(t *testing.T) *hangingDisk {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid())
	if err := unix.Mount("aloft-test", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd) // nothing is mounted
		t.Skipf("needs to mount: %v", err)
	}
	d := &hangingDisk{
		program: filepath.Join(dir, "program"), asked: make(chan struct{}),
		device: os.NewFile(uintptr(fd), "/dev/fuse"), // can be waited for now that it is mounted
	}
	t.Cleanup(func() {
		_ = d.device.Close() // which ends what hangs
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	go d.serve()
	return d
}

// serve answers until the device is closed.
func (d *hangingDisk) serve() {
	buffer := make([]byte, fuseRequestSize)
	for {
		n, err := d.device.Read(buffer)
		if err != nil {
			return
		}
		var r fuseRequest
		if _, err := wire.Decode(buffer[:n], wire.NativeEndian, &r); err != nil {
			return
		}
		d.answer(r)
	}
}

func (d *hangingDisk) answer(r fuseRequest) {
	file := fuseAttr{Ino: fuseProgram, Size: 4096, Mode: unix.S_IFREG | 0o755, Links: 1}
	folder := fuseAttr{Ino: fuseRoot, Mode: unix.S_IFDIR | 0o755, Links: 2}
	switch r.Op {
	case fuseInitialize:
		d.reply(r, 0, fuseInit{Major: 7, Minor: 31, WriteMax: 4096})
	case fuseLookup:
		d.reply(r, 0, fuseEntry{Node: fuseProgram, Attr: file})
	case fuseGetAttr:
		if r.Node == fuseProgram {
			folder = file
		}
		d.reply(r, 0, fuseAttrReply{Attr: folder})
	case fuseOpen:
		d.reply(r, 0, fuseOpened{})
	case fuseRead:
		d.hold(r)
	case fuseRelease:
		d.reply(r, 0, nil)
	case fuseForget, fuseForgetMany, fuseInterrupt: // nobody waits for an answer
	default:
		d.reply(r, unix.ENOSYS, nil)
	}
}

// hold keeps a read waiting until the disk is healed.
func (d *hangingDisk) hold(r fuseRequest) {
	d.once.Do(func() { close(d.asked) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.healed {
		d.reply(r, unix.EIO, nil)
		return
	}
	d.held = append(d.held, r)
}

// heal ends all reads, with errors.
func (d *hangingDisk) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.healed = true
	for _, r := range d.held {
		d.reply(r, unix.EIO, nil)
	}
}

func (d *hangingDisk) reply(to fuseRequest, failed unix.Errno, body any) {
	var content bytes.Buffer
	header := fuseReply{Error: -int32(failed), Number: to.Number}
	header.Length = uint32(wire.Size(header))
	if body != nil {
		header.Length += uint32(wire.Size(body))
	}
	_ = wire.Write(&content, wire.NativeEndian, header) // a buffer takes all
	if body != nil {
		_ = wire.Write(&content, wire.NativeEndian, body)
	}
	_, _ = d.device.Write(content.Bytes()) // who asked may have gone
}

// TestAProgramWhoseDiskHangs holds up its own start: another one is started meanwhile, and
// the ends of others are noticed.
func TestAProgramWhoseDiskHangs(t *testing.T) {
	for name, of := range map[string]func(t *testing.T, program string) string{
		"the program": func(_ *testing.T, program string) string { return program },
		"its interpreter": func(t *testing.T, program string) string {
			t.Helper()
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte("#! "+program+" -x\n"), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			return script
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := ensure(t, t.TempDir())
			disk := hang(t)
			long := shell("long", 1, "exec sleep 1000")
			start(t, client, long)
			started := disk.begin(t, client, of(t, disk.program))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()

			if _, err := client.Start(ctx, shell("short", 1, "exit 3")); err != nil {
				t.Fatal(err)
			}
			if exit := nextExit(t, client); exit.Key.Task != "short" || exit.Code != 3 {
				t.Errorf("exit = %+v", exit)
			}
			if err := client.KillAll(ctx, long.Key); err != nil {
				t.Error(err)
			}
			if exit := nextExit(t, client); exit.Key != long.Key {
				t.Errorf("exit = %+v", exit)
			}

			disk.heal()

			if exit := nextExit(t, client); exit.Key.Task != "hanging" || !strings.Contains(exit.Error, "input/output error") {
				t.Errorf("exit = %+v", exit)
			}
			if err := <-started; err != nil {
				t.Error(err)
			}
		})
	}
}

// begin starts a program that needs the disk, and returns when that is asked to read.
func (d *hangingDisk) begin(t *testing.T, client *supervisor.Client, program string) (started <-chan error) {
	t.Helper()
	hanging := shell("hanging", 1, "")
	hanging.Path = program
	outcome := make(chan error, 1)
	go func() {
		_, err := client.Start(t.Context(), hanging)
		outcome <- err
	}()
	select {
	case <-d.asked:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing of the program was read")
	}
	return outcome
}

// TestAHandoverWhileADiskHangs is refused after a moment, and all is as before.
func TestAHandoverWhileADiskHangs(t *testing.T) {
	client := ensure(t, t.TempDir())
	disk := hang(t)
	disk.begin(t, client, disk.program)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	if err := client.HandOver(ctx, binary(t)); !errors.Is(err, supervisor.ErrHandover) || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("HandOver = %v", err)
	}
	if _, err := client.List(ctx); err != nil {
		t.Error(err)
	}

	disk.heal()

	nextExit(t, client)
	if err := client.HandOver(ctx, binary(t)); err != nil {
		t.Errorf("then HandOver = %v", err)
	}
}

// TestAPipeInThePlaceOfAProgram comes to be there while it is started, and holds up nothing.
func TestAPipeInThePlaceOfAProgram(t *testing.T) {
	client := ensure(t, t.TempDir())
	dir := t.TempDir()
	program, pipe := filepath.Join(dir, "program"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink("/bin/true", program), unix.Mkfifo(pipe, 0o700)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var swapping sync.WaitGroup
	defer swapping.Wait()
	swapping.Go(func() {
		next := filepath.Join(dir, "next")
		for turn := 0; ctx.Err() == nil; turn++ {
			to := []string{pipe, "/bin/true"}[turn%2]
			if err := errors.Join(os.Symlink(to, next), os.Rename(next, program)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer cancel()

	for attempt := range 200 {
		s := shell("swapped", attempt+1, "")
		s.Path = program
		if _, err := client.Start(ctx, s); err != nil {
			t.Fatal(err)
		}
		nextExit(t, client)
	}
}
