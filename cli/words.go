package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// age says how long ago something was, in the largest unit that fits.
func (a *app) age(at *timestamppb.Timestamp) string {
	if at == nil {
		return "-"
	}
	return span(a.cfg.Now().Sub(at.AsTime()))
}

// clock shows a moment where the reader is.
func (a *app) clock(at *timestamppb.Timestamp) string {
	return at.AsTime().In(a.cfg.Now().Location()).Format("2006-01-02 15:04:05")
}

// span prints a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

// stopwatch prints how long something took: exactly where that is short.
func stopwatch(d time.Duration) string {
	if d < time.Minute {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// quantity prints an amount as a spec file would say it.
func quantity(m *pb.Quantity) string {
	t, q, err := wire.ToQuantity(m)
	if err != nil {
		return "?"
	}
	if t == resource.Ports && q.Kind() == resource.KindScalar {
		return strconv.FormatInt(q.Amount(), 10) // how many, not which
	}
	return resource.Format(t, q)
}

// quantities prints amounts of several types on one line.
func quantities(list []*pb.Quantity) string {
	parts := make([]string, 0, len(list))
	for _, m := range list {
		parts = append(parts, m.GetType()+" "+quantity(m))
	}
	return orDash(strings.Join(parts, ", "))
}

// weight prints thousandths as a plain number.
func weight(thousandths int64) string {
	return resource.Format(resource.CPUs, resource.Scalar(thousandths))
}

// ports prints the ports of a task, by name.
func ports(m map[string]int32) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+number(m[name]))
	}
	return orDash(strings.Join(parts, ","))
}

func orDash(text string) string { return cmp.Or(text, "-") }

func number[N int32 | int64 | int](n N) string { return strconv.FormatInt(int64(n), 10) }

// word returns the last part of an enum's name in lower case: TASK_STATE_READY
// is "ready".
func word(enum fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(enum.String(), prefix), "_", " "))
}

func taskState(s pb.TaskState) string { return word(s, "TASK_STATE_") }

func deploymentState(s pb.DeploymentState) string { return word(s, "DEPLOYMENT_STATE_") }

func kindOf(k pb.SpecKind) string { return word(k, "SPEC_KIND_") }

// runsToCompletion reports whether instances of that kind end by themselves.
func runsToCompletion(k pb.SpecKind) bool {
	return k == pb.SpecKind_SPEC_KIND_JOB || k == pb.SpecKind_SPEC_KIND_CRON
}

// ended reports whether a task is over.
func ended(t *pb.Task) bool { return t.GetStatus().GetState() >= pb.TaskState_TASK_STATE_STOPPED }

// succeeded reports whether a program ended as it should.
func succeeded(e *pb.Exit) bool {
	return e.GetCode() == 0 && e.GetSignal() == 0 && e.GetError() == "" && !e.GetOom()
}

// exitText says how a program ended, "" when it has not.
func exitText(e *pb.Exit) string {
	if e == nil {
		return ""
	}
	return wire.ToExit(e).String()
}

// route prints where requests for a service arrive, or connections.
func route(r *pb.Route) string {
	if r.GetListen() != 0 {
		return fmt.Sprintf("every connection to port %d of the routers", r.GetListen())
	}
	return cmp.Or(r.GetHost(), "any host ") + r.GetPath()
}

// runText is the program of a revision on one line.
func runText(r *pb.Run) string {
	text := r.GetShell()
	if len(r.GetCommand()) > 0 {
		text = strings.Join(r.GetCommand(), " ")
	}
	const longest = 60
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}
