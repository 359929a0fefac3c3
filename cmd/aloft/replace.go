package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errReplaced is the cause of the end of a role whose process goes on with
// another binary.
var errReplaced = errors.New("another binary goes on in this process")

// trialMax bounds how long a binary may take to show that it is one of ours.
const trialMax = 10 * time.Second

// replaceable runs a role. At SIGUSR2 the role ends in good order, and the binary
// that is now in the place of this one is executed in the same process, with the
// same arguments: whoever looks after the process sees no end. A binary that does
// not run changes nothing.
func replaceable(ctx context.Context, log *slog.Logger, role func(context.Context) error) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	defer signal.Stop(asked)
	for {
		binary, err := untilReplaced(ctx, log, asked, role)
		if binary == "" || err != nil {
			return err
		}
		log.InfoContext(ctx, "goes on with another binary", slog.String("binary", binary))
		err = syscall.Exec(binary, os.Args, os.Environ())
		log.ErrorContext(ctx, "the binary could not be executed; this one goes on", slog.Any("error", err))
	}
}

// untilReplaced runs a role to its end, and returns the binary that takes the
// place of this one if that is why it ended.
func untilReplaced(
	ctx context.Context, log *slog.Logger, asked <-chan os.Signal, role func(context.Context) error,
) (binary string, err error) {
	running, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-asked:
			case <-running.Done():
				return
			}
			if found, err := successor(running); err != nil {
				log.ErrorContext(running, "no other binary can go on here", slog.Any("error", err))
			} else {
				binary = found
				end(errReplaced)
			}
		}
	})
	err = role(running)
	end(nil)
	watching.Wait()
	if ctx.Err() != nil {
		binary = ""
	}
	return binary, err
}

// successor returns the binary that is where this one was started from, once it
// has shown that it runs.
func successor(ctx context.Context) (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, trialMax)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "agent", "--help").CombinedOutput()
	if err != nil {
		first, _, _ := strings.Cut(string(output), "\n")
		return "", fmt.Errorf("%s agent --help: %w: %s", path, err, first)
	}
	return path, nil
}
