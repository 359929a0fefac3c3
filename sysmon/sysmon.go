// Package sysmon has Go look after a process's threads less often.
//
// A thread of each Go process, sysmon, takes the processor of a goroutine whose system call takes long,
// so that another one runs. While there is work it sleeps 20 µs at a time for that, until it has found
// nothing 50 times in a row (sysmon in runtime/proc.go). An agent that starts short programs has system calls
// that take long all the time: its sysmon woke up a thousand times a second, and each time the kernel switched
// from a program to it and back.
//
// Go has no setting for that (golang.org/issue/18236). But Linux wakes up a thread together with others, by
// as much later as the slack of its timers allows, 50 µs if nothing else is said (proc_pid_timerslack_ns(5)).
package sysmon

import "time"

// Slack is by how much later sysmon wakes up. So much longer a goroutine that could run may wait for
// a processor that another one has in a system call, and this is far below what a disk needs to write.
const Slack = 200 * time.Microsecond
