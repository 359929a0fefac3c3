// Package cluster runs a cluster of aloft for a bench, and speaks to it as an
// operator does: by the commands of the binary and what they print as JSON.
//
// A Cluster's processes and files are all below one folder and one process, so
// Stop can tell whether aloft left anything behind.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/process"
)

const (
	readyWithin = 30 * time.Second
	stopWithin  = 60 * time.Second
)

// Config is what a cluster is started with.
type Config struct {
	Aloft  string // path of the binary
	Folder string // for its files
	Agents int
}

// Cluster is a running `aloft dev`. Make it with Start and end it with Stop.
type Cluster struct {
	cfg Config
	api string // host and port
	log string // path

	// HTTP is the URL of its router, and Took the time from the start of the
	// program until it said that it was ready.
	HTTP string
	Took time.Duration

	dev   *exec.Cmd
	ended chan struct{} // closed when dev has ended
}

// Start starts a cluster on free ports and returns when it is ready.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	aloft, err := filepath.Abs(cfg.Aloft)
	if err != nil {
		return nil, err
	}
	cfg.Aloft = aloft
	c := &Cluster{
		cfg:   cfg,
		api:   ports[0],
		HTTP:  "http://" + ports[1],
		log:   filepath.Join(cfg.Folder, "dev.log"),
		ended: make(chan struct{}),
	}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	// It gets its end from Stop, not from a context: in order, and with a reason.
	c.dev = exec.Command(aloft, "dev", "--data-dir", filepath.Join(cfg.Folder, "data"), //nolint:noctx // see above
		"--api", ports[0], "--http", ports[1], "--agents", strconv.Itoa(cfg.Agents))
	c.dev.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the bench, which then stops the cluster
	ready := &announcement{words: []byte("is ready"), seen: make(chan struct{}), next: log}
	c.dev.Stdout, c.dev.Stderr = ready, log
	began := time.Now()
	if err := c.dev.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting aloft dev: %w", err), log.Close())
	}
	go func() {
		defer close(c.ended)
		_ = c.dev.Wait() // ProcessState tells it
		_ = log.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	select {
	case <-ready.seen:
		c.Took = time.Since(began)
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("aloft dev ended before it was ready: %s\n%s", c.dev.ProcessState, c.Log())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("waiting for aloft dev: %w\n%s", context.Cause(ctx), c.Log()), c.Stop())
	}
}

// Part returns the process of a part of the cluster: the one that runs this
// command of the binary with these words side by side among its arguments. Else
// the error wraps ErrNotFound.
func (c *Cluster) Part(command string, words ...string) (process.Process, error) {
	all, err := process.Descendants(c.dev.Process.Pid)
	if err != nil {
		return process.Process{}, err
	}
	wanted := strings.Join(words, " ")
	for _, p := range all {
		_, arguments, found := strings.Cut(p.Command, "/"+filepath.Base(c.cfg.Aloft)+" "+command+" ")
		if found && strings.Contains(arguments+" ", wanted+" ") {
			return p, nil
		}
	}
	return process.Process{}, fmt.Errorf("the process of aloft %s %s: %w", command, strings.Join(words, " "), ErrNotFound)
}

// API returns the URL of its master.
func (c *Cluster) API() string { return "http://" + c.api }

// Stop ends the cluster as Ctrl-C does and returns when it is gone. It is an
// error when aloft calls that a failure.
func (c *Cluster) Stop() error {
	if err := c.dev.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping aloft dev: %w", err)
	}
	select {
	case <-c.ended:
	case <-time.After(stopWithin):
		_ = c.dev.Process.Kill()
		<-c.ended
		return fmt.Errorf("aloft dev did not stop within %s\n%s", stopWithin, c.Log())
	}
	if !c.dev.ProcessState.Success() {
		return fmt.Errorf("aloft dev ended with %s\n%s", c.dev.ProcessState, c.Log())
	}
	return nil
}

// Log returns the end of what the cluster's processes wrote.
func (c *Cluster) Log() string {
	const bytesMax = 4000
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-bytesMax):])
}

// announcement passes on what is written to it and watches for words.
type announcement struct {
	words []byte
	seen  chan struct{} // closed once they were written
	next  *os.File

	once   sync.Once
	recent []byte
}

// Write is called by one goroutine at a time.
func (a *announcement) Write(text []byte) (int, error) {
	a.recent = append(a.recent, text...)
	if bytes.Contains(a.recent, a.words) {
		a.once.Do(func() { close(a.seen) })
	}
	a.recent = a.recent[max(0, len(a.recent)-len(a.words)):]
	return a.next.Write(text)
}

// freePorts returns n addresses on loopback on which nothing listens.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var found []string
	for range n {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // all are held until all are found
		found = append(found, listener.Addr().String())
	}
	return found, nil
}
