package main

import (
	"context"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// measureMatch tells what a large table costs a request.
func (b *bench) measureMatch(ctx context.Context) error {
	b.say("router, a table of 1,000 services")
	matches, err := b.measureParts(ctx, goBench{of: "./core/route", name: "Match", times: 20_000, rounds: 3})
	if err != nil {
		return err
	}
	requests, err := b.measureParts(ctx, goBench{of: "./router", name: "Services", times: 20_000, rounds: 3})
	if err != nil {
		return err
	}
	one, many := requests.took("services=1", "cpu-µs/op", time.Microsecond), requests.took("services=1000", "cpu-µs/op", time.Microsecond)
	match, obvious := matches.took("services=1000", "ns/op", time.Nanosecond), matches.took("obvious/services=1000", "ns/op", time.Nanosecond)
	if len(one) == 0 || len(many) == 0 || len(match) == 0 {
		return errNothing
	}
	b.results.beside = append(b.results.beside, figure{
		what: "finding the service of a request among 1,000", command: "`go test -bench Match ./core/route`", bar: "-",
		value: report.Duration(report.Quantile(match, 50)) + "; by a look at each rule " + report.Duration(report.Quantile(obvious, 50)), met: true,
	}, figure{
		what:    "CPU of a request with its client and its instance, in a table of 1,000 services with 10 instances each",
		command: "`go test -bench Services ./router`", bar: "-",
		value: micros(report.Quantile(many, 50)) + "; in a table of one such service " + micros(report.Quantile(one, 50)), met: true,
	})
	return nil
}
