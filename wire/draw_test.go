package wire_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Each of these draws one value of core with any content that fits its type,
// also what no cluster would have: the wire carries, others judge.

func drawText(t *rapid.T, label string) string { return rapid.StringN(0, 8, 40).Draw(t, label) }

func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?`).Draw(t, label)
}

func drawTexts(t *rapid.T, label string) []string {
	return rapid.SliceOfN(rapid.StringN(0, 8, 40), 0, 4).Draw(t, label)
}

func drawTextMap(t *rapid.T, label string) map[string]string {
	return rapid.MapOfN(rapid.StringN(0, 8, 40), rapid.StringN(0, 8, 40), 0, 3).Draw(t, label)
}

func drawSmall(t *rapid.T, label string) int { return rapid.IntRange(-1<<31, 1<<31-1).Draw(t, label) }

func drawTime(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, label+" is zero") {
		return time.Time{}
	}
	seconds := rapid.Int64Range(-62135596799, 253402300799).Draw(t, label)
	return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, label+" ns")).UTC()
}

func drawDuration(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.Int64().Draw(t, label))
}

func drawQuantity(t *rapid.T, kind resource.Kind) resource.Quantity {
	switch kind {
	case resource.KindRanges:
		var ranges []resource.Range
		next := int64(1)
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			first := next + rapid.Int64Range(0, 5).Draw(t, "gap")
			last := first + rapid.Int64Range(0, 5).Draw(t, "length")
			ranges, next = append(ranges, resource.Range{First: first, Last: last}), last+2
		}
		return must(resource.RangesOf(ranges...))
	case resource.KindSet:
		return must(resource.SetOf(rapid.SliceOfNDistinct(
			rapid.StringMatching(`[a-z0-9.:/_-]{1,5}`), 0, 3, rapid.ID[string]).Draw(t, "members")...))
	default:
		return resource.Scalar(rapid.Int64().Draw(t, "scalar"))
	}
}

// drawItem draws a type and a quantity of it.
func drawItem(t *rapid.T) resource.Item {
	name := resource.Type(rapid.OneOf(
		rapid.SampledFrom([]string{"cpus", "mem", "disk", "gpus", "ports"}), rapid.StringMatching(`[a-z][a-z0-9]{0,6}`),
	).Draw(t, "type"))
	kind, fixed := name.Kind()
	if !fixed {
		kind = rapid.SampledFrom([]resource.Kind{resource.KindScalar, resource.KindRanges, resource.KindSet}).Draw(t, "kind")
	}
	return resource.Item{Type: name, Quantity: drawQuantity(t, kind)}
}

func drawVector(t *rapid.T) resource.Vector {
	items := make(map[resource.Type]resource.Item)
	for range rapid.IntRange(0, 4).Draw(t, "items") {
		item := drawItem(t)
		items[item.Type] = item
	}
	var list []resource.Item
	for _, item := range items {
		list = append(list, item)
	}
	return must(resource.NewVector(list...))
}

func drawProbe(t *rapid.T) spec.Probe {
	kind := spec.ProbeKind(rapid.IntRange(0, int(spec.CommandProbe)).Draw(t, "probe"))
	if kind == spec.NoProbe {
		return spec.Probe{}
	}
	return spec.Probe{
		Kind: kind, Path: drawText(t, "path"), Service: drawText(t, "service"), Command: drawTexts(t, "command"),
		Port: drawText(t, "port"), Every: drawDuration(t, "every"), Timeout: drawDuration(t, "timeout"),
		Failures: drawSmall(t, "failures"),
	}
}

func drawSpec(t *rapid.T) *spec.Spec {
	s := &spec.Spec{
		Kind: spec.Kind(rapid.IntRange(1, int(spec.Cron)).Draw(t, "kind")), Name: id.Service(drawName(t, "name")),
		Pools: names[id.Pool](drawTexts(t, "pools")), Instances: drawSmall(t, "instances"), Resources: drawVector(t),
		Run: spec.Run{
			Command: drawTexts(t, "command"), Shell: drawText(t, "shell"), Env: drawTextMap(t, "env"),
			Dir: drawText(t, "dir"), User: drawText(t, "user"),
		},
		Ready: drawProbe(t), Alive: drawProbe(t),
		Deploy: spec.Deploy{
			Surge:       spec.Amount{Count: drawSmall(t, "surge"), Percent: drawSmall(t, "surge %")},
			Unavailable: spec.Amount{Count: drawSmall(t, "unavailable"), Percent: drawSmall(t, "unavailable %")},
			Settle:      drawDuration(t, "settle"), Deadline: drawDuration(t, "deadline"),
			Drain: drawDuration(t, "drain"), Grace: drawDuration(t, "grace"),
			Failures: drawSmall(t, "failures"), OnFailure: spec.OnFailure(rapid.IntRange(0, 1).Draw(t, "on failure")),
		},
		Placement:   spec.Placement{Spread: drawTexts(t, "spread")},
		Logs:        spec.Logs{SizeBytes: rapid.Int64().Draw(t, "size"), Files: drawSmall(t, "files")},
		OnLost:      spec.OnLost{After: drawDuration(t, "lost after")},
		OnPartition: spec.OnPartition(rapid.IntRange(0, 1).Draw(t, "on partition")),
		User:        drawText(t, "user"),
		Retries:     drawSmall(t, "retries"), Timeout: drawDuration(t, "timeout"),
	}
	drawSpecLists(t, s)
	if s.Kind == spec.Cron {
		s.Schedule = spec.Schedule{
			Line: drawText(t, "line"), Timezone: drawText(t, "zone"), Overlap: spec.Overlap(rapid.IntRange(0, 2).Draw(t, "overlap")),
		}
	}
	return s
}

func drawSpecLists(t *rapid.T, s *spec.Spec) {
	for range rapid.IntRange(0, 2).Draw(t, "artifacts") {
		s.Run.Fetch = append(s.Run.Fetch, spec.Artifact{
			URL: drawText(t, "url"), SHA256: drawText(t, "sha"), Dest: drawText(t, "dest"),
			Unpack: rapid.Bool().Draw(t, "unpack"), Executable: rapid.Bool().Draw(t, "executable"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "ports") {
		s.Ports = append(s.Ports, spec.Port{Name: drawText(t, "port"), Number: drawSmall(t, "number")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "routes") {
		s.Routes = append(s.Routes, spec.Route{
			Host: drawText(t, "host"), Path: drawText(t, "path"), Listen: drawSmall(t, "listen"), Port: drawText(t, "port"), Hold: drawDuration(t, "hold"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "constraints") {
		s.Placement.Where = append(s.Placement.Where, spec.Constraint{
			Attribute: drawText(t, "attribute"), Operator: spec.Operator(rapid.IntRange(1, 4).Draw(t, "operator")),
			Values: drawTexts(t, "values"),
		})
	}
}

func drawExit(t *rapid.T) *task.Exit {
	if rapid.Bool().Draw(t, "no exit") {
		return nil
	}
	return &task.Exit{
		Code: drawSmall(t, "code"), Signal: drawSmall(t, "signal"), OOM: rapid.Bool().Draw(t, "oom"),
		Error: drawText(t, "error"), At: drawTime(t, "ended"), LastLogs: drawTexts(t, "logs"),
	}
}

func drawStatus(t *rapid.T) task.Status {
	return task.Status{
		State: task.State(rapid.IntRange(int(task.Pending), int(task.Lost)).Draw(t, "state")), Since: drawTime(t, "since"),
		Attempt: drawSmall(t, "attempt"), ReadySince: drawTime(t, "ready since"), Failures: drawSmall(t, "failures"),
		RetryAt: drawTime(t, "retry at"), Last: drawExit(t), Reason: drawText(t, "reason"),
		UnhealthySince: drawTime(t, "unhealthy since"), Unhealthy: drawText(t, "unhealthy"),
	}
}

func drawTable(t *rapid.T) route.Table {
	table := route.Table{Version: route.Version{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq")}}
	for range rapid.IntRange(0, 3).Draw(t, "services") {
		service := route.Service{
			Name: id.Service(drawText(t, "name")), Hold: drawDuration(t, "hold"), QueueMax: drawSmall(t, "queue"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			service.Rules = append(service.Rules, route.Rule{Host: drawText(t, "host"), Path: drawText(t, "path")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "rules for ports") { // on the wire they follow the others
			service.Rules = append(service.Rules, route.Rule{Port: rapid.IntRange(1, 65535).Draw(t, "port")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "endpoints") {
			service.Endpoints = append(service.Endpoints, route.Endpoint{
				Task: id.Task(drawText(t, "task")), Revision: id.Revision(rapid.Int64().Draw(t, "revision")),
				Address: drawText(t, "address"), Suspect: rapid.Bool().Draw(t, "suspect"),
			})
		}
		table.Services = append(table.Services, service)
	}
	return table
}

func drawConfirmation(t *rapid.T) route.Confirmation {
	c := route.Confirmation{
		Router:  id.Router(drawText(t, "router")),
		Version: route.Version{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "busy") {
		c.Busy = append(c.Busy, route.Busy{Task: id.Task(drawText(t, "task")), Requests: drawSmall(t, "requests")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "closed") {
		c.Closed = append(c.Closed, drawSmall(t, "closed port"))
	}
	return c
}

// drawRecord draws a record of any kind.
func drawRecord(t *rapid.T) engine.Record {
	kinds := []func(*rapid.T) engine.Record{drawCluster, drawAgent, drawPool, drawService, drawRevision, drawDeployment, drawTask}
	return kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind of record")](t)
}

func drawCluster(t *rapid.T) engine.Record {
	c := &engine.Cluster{Tasks: rapid.Int64().Draw(t, "tasks"), Regained: drawTime(t, "regained")}
	if rapid.Bool().Draw(t, "kept") {
		c.Kept = engine.Reservation{
			Task: id.Task(drawText(t, "kept task")), Agent: id.Agent(drawText(t, "kept agent")), Since: drawTime(t, "kept since"), Start: drawTime(t, "kept start"),
		}
	}
	c.Breaker = engine.Breaker{
		Limit: drawSmall(t, "limit"), Window: drawDuration(t, "window"),
		OpenSince: drawTime(t, "open"), From: drawTime(t, "from"), Released: drawTime(t, "released"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "routers") {
		c.Routers = append(c.Routers, id.Router(drawText(t, "router")))
	}
	return c
}

func drawPartitions(t *rapid.T) []ledger.Partition {
	var list []ledger.Partition
	for range rapid.IntRange(0, 3).Draw(t, "partitions") {
		item := drawItem(t)
		list = append(list, ledger.Partition{
			ID: id.Partition(drawName(t, "partition")), Type: item.Type, Quantity: item.Quantity,
			Weight: rapid.Int64().Draw(t, "weight"),
		})
	}
	return list
}

func drawAgent(t *rapid.T) engine.Record {
	return &engine.Agent{
		Agent: ledger.Agent{
			ID: id.Agent(drawName(t, "agent")), Attributes: drawTextMap(t, "attributes"), Partitions: drawPartitions(t),
		},
		BootID: drawText(t, "boot"), Hostname: drawText(t, "host"), Version: drawText(t, "version"), Address: drawText(t, "address"),
		JoinedAt: drawTime(t, "joined"), SilentSince: drawTime(t, "silent"), DrainedBy: drawTime(t, "drained by"),
		Draining: rapid.Bool().Draw(t, "draining"), DrainForced: rapid.Bool().Draw(t, "drain forced"), Unreachable: rapid.Bool().Draw(t, "unreachable"), Leaving: rapid.Bool().Draw(t, "leaving"),
	}
}

func drawPool(t *rapid.T) engine.Record {
	return &engine.Pool{
		Pool:    ledger.Pool{ID: id.Pool(drawName(t, "pool")), Quantity: drawVector(t), Priority: drawSmall(t, "priority"), Weight: rapid.Int64().Draw(t, "weight")},
		Version: rapid.Int64().Draw(t, "version"),
	}
}

func drawService(t *rapid.T) engine.Record {
	return &engine.Service{
		Name: id.Service(drawName(t, "service")), Kind: spec.Kind(rapid.IntRange(1, int(spec.Cron)).Draw(t, "kind")),
		Revision: id.Revision(rapid.Int64().Draw(t, "revision")), LastGood: id.Revision(rapid.Int64().Draw(t, "last good")),
		Newest: id.Revision(rapid.Int64().Draw(t, "newest")), Instances: drawSmall(t, "instances"),
		Stopped: rapid.Bool().Draw(t, "stopped"), Removing: rapid.Bool().Draw(t, "removing"),
		Deployment: id.Deployment(drawText(t, "deployment")), Deployments: drawSmall(t, "deployments"),
		Tasks: rapid.Int64().Draw(t, "tasks"), RestartedAt: drawTime(t, "restarted"), Run: rapid.Int64().Draw(t, "run"), Runs: drawRuns(t),
		NextRun: drawTime(t, "next run"), Result: engine.Result(rapid.IntRange(0, int(engine.Unsuccessful)).Draw(t, "result")),
		Version: rapid.Int64().Draw(t, "version"), CreatedAt: drawTime(t, "created"), ChangedAt: drawTime(t, "changed"),
		Breaker: engine.ServiceBreaker{OpenSince: drawTime(t, "open"), From: drawTime(t, "from"), Released: drawTime(t, "released")},
	}
}

func drawRevision(t *rapid.T) engine.Record {
	return &engine.Revision{
		Service: id.Service(drawName(t, "service")), Number: id.Revision(rapid.Int64().Draw(t, "number")),
		Generation: id.Revision(rapid.Int64().Draw(t, "generation")), Before: id.Revision(rapid.Int64().Draw(t, "before")), Spec: drawSpec(t), Source: drawText(t, "source"),
		Reason: drawText(t, "reason"), CreatedAt: drawTime(t, "created"),
	}
}

func drawDeployment(t *rapid.T) engine.Record {
	d := &engine.Deployment{
		ID: id.Deployment(drawName(t, "deployment")), Service: id.Service(drawText(t, "service")),
		From: id.Revision(rapid.Int64().Draw(t, "from")), To: id.Revision(rapid.Int64().Draw(t, "to")),
		State:  engine.DeploymentState(rapid.IntRange(1, int(engine.Aborted)).Draw(t, "state")),
		Reason: drawText(t, "reason"), Automatic: rapid.Bool().Draw(t, "automatic"), FromStopped: rapid.Bool().Draw(t, "from stopped"),
		Progress: rollout.Progress{
			Wanted: drawSmall(t, "wanted"), Settled: drawSmall(t, "settled"), Old: drawSmall(t, "old"),
			At: drawTime(t, "progress"), FailuresInRow: drawSmall(t, "failures"),
		},
		Peak: drawSmall(t, "peak"), StartedAt: drawTime(t, "started"), PausedAt: drawTime(t, "paused"), EndedAt: drawTime(t, "ended"),
	}
	d.Progress.Paused = d.State == engine.Paused
	if exit := drawExit(t); exit != nil {
		d.Failure = &engine.Failure{Task: id.Task(drawText(t, "failed")), Exit: *exit}
	}
	return d
}

func drawTask(t *rapid.T) engine.Record {
	r := &engine.Task{
		ID: id.Task(drawName(t, "task")), Service: id.Service(drawText(t, "service")),
		Revision: id.Revision(rapid.Int64().Draw(t, "revision")), Run: rapid.Int64().Draw(t, "run"), Copy: drawSmall(t, "copy"),
		Retry:  int32(drawSmall(t, "retry")),
		Status: drawStatus(t), Restart: rapid.Bool().Draw(t, "restart"), CreatedAt: drawTime(t, "created"),
		Moves: engine.Move{To: id.Agent(drawText(t, "moves to")), Turn: drawSmall(t, "turn")}, Follows: id.Task(drawText(t, "follows")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		r.Ports = r.Ports.With(rapid.StringN(0, 8, 40).Draw(t, "port"), rapid.IntRange(0, 65535).Draw(t, "number"))
	}
	if rapid.Bool().Draw(t, "placed") {
		r.Claim = ledger.Claim{Task: r.ID, Agent: id.Agent(drawName(t, "agent")), Pool: id.Pool(drawText(t, "pool"))}
		for range rapid.IntRange(0, 3).Draw(t, "slices") {
			r.Claim.Slices = append(r.Claim.Slices, ledger.Slice{
				Partition: id.Partition(drawText(t, "partition")), Quantity: drawItem(t).Quantity,
			})
		}
	}
	return r
}

func names[T ~string](texts []string) []T {
	list := make([]T, 0, len(texts))
	for _, text := range texts {
		list = append(list, T(text))
	}
	return slices.Clip(list)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("the test drew what cannot be: %v", err))
	}
	return value
}

// drawRuns draws numbers of runs; none is nil, as it is read.
func drawRuns(t *rapid.T) []int64 {
	runs := rapid.SliceOfN(rapid.Int64(), 0, 3).Draw(t, "runs")
	if len(runs) == 0 {
		return nil
	}
	return runs
}
