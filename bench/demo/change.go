package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/load"
)

// deploy runs `aloft deploy` for a version, which has failed when it makes no
// progress within that time, and returns how it ended.
func (s *story) deploy(ctx context.Context, version string, wished int, within time.Duration, arguments ...string) (cluster.Output, error) {
	file, err := s.spec(version, wished, within, arguments...)
	if err != nil {
		return cluster.Output{}, err
	}
	return s.cluster.Aloft(ctx, "deploy", file)
}

// spec writes the spec file of a version.
func (s *story) spec(version string, wished int, within time.Duration, arguments ...string) (string, error) {
	return s.releases[version].Spec(builds.Deploy{
		Instances: wished, Settle: settle, Deadline: within, Arguments: arguments,
	})
}

// mustDeploy deploys a version that is good.
func (s *story) mustDeploy(ctx context.Context, version string, wished int) error {
	output, err := s.deploy(ctx, version, wished, deadline)
	if err == nil && output.Code != 0 {
		err = fmt.Errorf("aloft deploy of %s ended with code %d: %s", version, output.Code, output)
	}
	return err
}

// deployFirst begins the load as soon as the router knows the service: requests
// that come before an instance is ready are held, not refused.
func (s *story) deployFirst(ctx context.Context) error {
	deployed := make(chan error, 1) // the one result
	go func() { deployed <- s.mustDeploy(ctx, "v1", instances) }()
	begun := s.routed(ctx)
	if begun == nil {
		s.load, begun = load.Start(load.Config{URL: s.cluster.HTTP, Host: builds.Host, Rate: s.opts.rate}, s.phases()[0].name)
	}
	if err := errors.Join(<-deployed, begun); err != nil {
		return err
	}
	return s.answeredBy(ctx, "v1")
}

// rollTo deploys a version; in the end it alone serves.
func (s *story) rollTo(version string, wished int) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := s.mustDeploy(ctx, version, wished); err != nil {
			return err
		}
		return s.answeredBy(ctx, version)
	}
}

// rollBack deploys a version that never gets ready. The command must say so, and
// the version before must serve all the time.
func (s *story) rollBack(bad, good string) func(context.Context) error {
	return func(ctx context.Context) error {
		output, err := s.deploy(ctx, bad, instances, patience, "--fail-ready")
		if err != nil {
			return err
		}
		if output.Code == 0 {
			return fmt.Errorf("aloft deploy of a release that is never ready ended with code 0: %s", output)
		}
		s.table.note("aloft deploy ended with code %d: %s", output.Code, strings.TrimSpace(output.Stderr))
		if _, err := s.cluster.Await(ctx, builds.Service, "the service is back", settled(instances)); err != nil {
			return err
		}
		return s.answeredBy(ctx, good)
	}
}

// rollTwice deploys a version, and another one while the first is half done.
func (s *story) rollTwice(first, second string) func(context.Context) error {
	return func(ctx context.Context) error {
		file, err := s.spec(first, later, deadline)
		if err != nil {
			return err
		}
		if _, err := s.cluster.Do(ctx, "deploy", "--detach", file); err != nil {
			return err
		}
		err = cluster.Until(ctx, "an instance of "+first+" serves", func() (bool, error) {
			return slices.Contains(s.load.Newest(), first), nil
		})
		if err != nil {
			return err
		}
		return s.rollTo(second, later)(ctx)
	}
}

func (s *story) scale(to int) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := s.cluster.Do(ctx, "scale", builds.Service, fmt.Sprint(to)); err != nil {
			return err
		}
		_, err := s.cluster.Await(ctx, builds.Service, fmt.Sprintf("%d instances are ready", to), settled(to))
		return err
	}
}

// settled is true of a service that has what is wished and nothing else.
func settled(wished int) func(cluster.Status) bool {
	return func(status cluster.Status) bool {
		return status.Wanted == wished && status.Ready == wished && status.Claims == wished
	}
}
