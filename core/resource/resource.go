// Package resource measures what an agent has and what a task needs: how much
// of cpus, mem, disk, gpus, ports, or of a type that an operator made up.
//
// A Quantity is an amount of one type, a Vector one amount for each of several.
// All numbers are integers in the smallest unit, so what is split and joined
// again is equal to what it was, and what is printed reads back the same.
//
// All values are immutable: whoever holds one may share it.
package resource

// Type names what is measured. Types other than the ones below are custom: any
// name that id.Check accepts.
type Type string

// The types with a meaning and a kind of their own.
const (
	CPUs  Type = "cpus"  // scalar, in thousandths of a core
	Mem   Type = "mem"   // scalar, in bytes
	Disk  Type = "disk"  // scalar, in bytes
	GPUs  Type = "gpus"  // scalar, in whole devices
	Ports Type = "ports" // ranges within 1 to PortMax
)

// PortMax is the highest port.
const PortMax = 65535

// Kind is the form of a quantity.
type Kind uint8

// The kinds.
const (
	KindScalar Kind = iota // one number
	KindRanges             // whole numbers that are told apart, such as ports
	KindSet                // members that are told apart by name
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindRanges:
		return "ranges"
	case KindSet:
		return "set"
	default:
		return "scalar"
	}
}

// Kind returns the kind that every quantity of t has. It is false for a custom
// type, whose quantities are of the kind that they were written in.
func (t Type) Kind() (Kind, bool) {
	switch t {
	case CPUs, Mem, Disk, GPUs:
		return KindScalar, true
	case Ports:
		return KindRanges, true
	default:
		return 0, false
	}
}
