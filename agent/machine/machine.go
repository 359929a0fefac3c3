// Package machine finds out what a machine has to offer: its cpus, memory, disk
// and a range of ports, one partition of weight 1 for each. A configuration file
// may cut them finer, add resources and attributes, or offer less.
//
// In a container it is what the container may use. It reads the machine once, at
// the start of an agent, and changes nothing.
package machine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// PortsDefault is the range of ports that a machine offers: below the one from
// which Linux takes the ports of outgoing connections.
const PortsDefault = "20000-29999"

// weightOne is the usual weight, in thousandths.
const weightOne = 1000

// memoryKept is the share of the memory that is left to the system: one part in
// so many.
const memoryKept = 20

// Machine is what a machine offers.
type Machine struct {
	Hostname   string
	BootID     string // changes with every start of the machine
	Partitions []ledger.Partition
}

// Detect returns what this machine has. The disk is the one that holds dir.
func Detect(dir, ports string) (Machine, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return Machine{}, fmt.Errorf("host name: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Machine{}, fmt.Errorf("boot id: %w", err)
	}
	memory, err := memoryBytes()
	if err != nil {
		return Machine{}, err
	}
	limits := ReadLimits(os.DirFS("/"))
	memory = min(memory, limits.MemoryBytes>>20<<20)
	cpus := min(int64(runtime.NumCPU())*1000, limits.CPUMillis)
	disk, err := diskBytes(dir)
	if err != nil {
		return Machine{}, err
	}
	if ports == "" {
		ports = PortsDefault
	}
	numbers, err := resource.Parse(resource.Ports, ports)
	if err != nil {
		return Machine{}, err
	}
	return Machine{
		Hostname: hostname,
		BootID:   strings.TrimSpace(string(boot)),
		Partitions: []ledger.Partition{
			whole(resource.CPUs, resource.Scalar(cpus)),
			whole(resource.Mem, resource.Scalar(memory-memory/memoryKept)),
			whole(resource.Disk, resource.Scalar(disk)),
			whole(resource.Ports, numbers),
		},
	}, nil
}

// whole returns the one partition of a type, named after it.
func whole(t resource.Type, q resource.Quantity) ledger.Partition {
	return ledger.Partition{ID: id.Partition(t), Type: t, Quantity: q, Weight: weightOne}
}

// memoryBytes returns the memory of the machine, rounded down to MiB.
func memoryBytes() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib / 1024 << 20, err
		}
	}
	return 0, errors.New("memory: /proc/meminfo has no MemTotal")
}

// diskBytes returns the size of the file system that holds dir, in MiB steps.
func diskBytes(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("disk of %s: %w", dir, err)
	}
	return int64(stat.Blocks) * stat.Bsize >> 20 << 20, nil
}
