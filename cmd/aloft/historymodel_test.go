package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// The calls of a history.
type historyVerb int

const (
	verbGet    historyVerb = iota // one service, through the loop of the master
	verbList                      // all, from what it has published
	verbScale                     // to what input.number says
	verbDeploy                    // a spec of which input.number is a part
	verbStop
	verbRemove
)

func (v historyVerb) String() string {
	return [...]string{"get", "list", "scale to", "deploy", "stop", "remove"}[v]
}

func (v historyVerb) reads() bool { return v == verbGet || v == verbList }

// callInput is what a client asked.
type callInput struct {
	verb    historyVerb
	service int
	number  int32
	guard   int64 // the version that it must have; 0: any
}

// does is what a call does to what is kept of a service, in which there is no spec.
func (input callInput) does() callInput {
	if input.verb != verbScale {
		input.number = 0
	}
	return input
}

// drawCall draws a call about a service that a client has seen at a version.
func drawCall(dice *rand.Rand, service int, seen int64) callInput {
	input := callInput{service: service, number: int32(1 + dice.IntN(90))}
	switch draw := dice.IntN(20); {
	case draw < 4:
		input.verb = verbGet
	case draw < 10:
		input.verb = verbList
	case draw < 15:
		input.verb = verbScale
	case draw < 18:
		input.verb, input.number = verbDeploy, dice.Int32()
	case draw < 19:
		input.verb = verbStop
	default:
		input.verb = verbRemove
	}
	if !input.verb.reads() {
		input.guard = seen * int64(dice.IntN(2))
	}
	return input
}

// kept is a service as a master keeps it, or as a client was told of it. Of version 0
// there is none.
type kept struct {
	version   int64
	revision  int64
	instances int32
	stopped   bool
}

func keptOf(s *pb.Service) kept {
	return kept{s.GetVersion(), s.GetRevision(), s.GetInstances(), s.GetStopped()}
}

// answer is how a call ended.
type answer int

const (
	answerDone answer = iota
	answerOpen        // nobody knows whether a write was done
	answerStale
	answerConflict // it is stopped, or still being removed
	answerNone     // there is no such service
)

// callOutput is what a client was told.
type callOutput struct {
	answer   answer
	kept     kept
	removing bool
}

// historySpec has no place to run, so that nothing changes a service but calls.
func historySpec(name string, number int32) string {
	return fmt.Sprintf("service: %s\ninstances: 1\nresources: {cpus: 1, mem: 1GiB}\nrun: {command: [sleep, \"1\"], env: {N: \"%d\"}}\ndeploy: {deadline: 1h}\n", name, number)
}

// tell makes one call. It returns false for one that changed nothing and told
// nothing.
func tell(ctx context.Context, api aloftv1connect.ClusterServiceClient, input callInput) (output callOutput, told bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyCall)
	defer cancel()
	seen, err := input.make(ctx, api)
	switch code := connect.CodeOf(err); {
	case err == nil && seen == nil:
		return callOutput{answer: answerNone}, true
	case err == nil:
		return callOutput{kept: keptOf(seen), removing: seen.GetRemoving()}, true
	case code == connect.CodeNotFound:
		return callOutput{answer: answerNone}, true
	case code == connect.CodeAborted:
		return callOutput{answer: answerStale}, true
	case code == connect.CodeFailedPrecondition:
		return callOutput{answer: answerConflict}, true
	default:
		return callOutput{answer: answerOpen}, !input.verb.reads()
	}
}

// make makes the call, and returns the service as it was told: of one that was
// deployed only its revision.
func (input callInput) make(ctx context.Context, api aloftv1connect.ClusterServiceClient) (*pb.Service, error) {
	name := nameOf(input.service)
	switch input.verb {
	case verbGet:
		answer, err := api.GetService(ctx, connect.NewRequest(&pb.GetServiceRequest{Service: name}))
		if err != nil {
			return nil, err
		}
		return answer.Msg.GetService().GetService(), nil
	case verbList:
		answer, err := api.ListServices(ctx, connect.NewRequest(&pb.ListServicesRequest{}))
		if err != nil {
			return nil, err
		}
		for _, v := range answer.Msg.GetServices() {
			if v.GetService().GetName() == name {
				return v.GetService(), nil
			}
		}
		return nil, nil
	case verbScale:
		answer, err := api.Scale(ctx, connect.NewRequest(&pb.ScaleRequest{Service: name, Instances: &input.number, Version: input.guard}))
		if err != nil {
			return nil, err
		}
		return answer.Msg.GetService(), nil
	case verbDeploy:
		request := &pb.DeployRequest{Files: []*pb.SpecFile{{Name: "spec.yaml", Text: []byte(historySpec(name, input.number))}}}
		if input.guard > 0 {
			request.Versions = map[string]int64{name: input.guard}
		}
		answer, err := api.Deploy(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		return &pb.Service{Revision: answer.Msg.GetServices()[0].GetRevision()}, nil
	default:
		answer, err := api.Stop(ctx, connect.NewRequest(&pb.StopRequest{Service: name, Version: input.guard, Remove: input.verb == verbRemove}))
		if err != nil {
			return nil, err
		}
		return answer.Msg.GetService(), nil
	}
}

// modelled is what the model knows of a service: what is kept, and what it was just
// before it was removed.
type modelled struct{ now, removed kept }

// follow returns what a call makes of a service, and how it is answered.
func (m modelled) follow(input callInput) (next modelled, told answer) {
	now := m.now
	switch {
	case now.version == 0 && input.verb != verbDeploy:
		return m, answerNone
	case input.guard != 0 && input.guard != now.version:
		return m, answerStale
	}
	switch input.verb {
	case verbScale:
		if now.stopped {
			return m, answerConflict
		}
		if now.instances != input.number {
			now.version, now.instances = now.version+1, input.number
		}
	case verbDeploy:
		if now.version == 0 {
			now.instances = 1
		}
		now.version, now.revision, now.stopped = now.version+1, now.revision+1, false
	case verbStop:
		if !now.stopped {
			now.version, now.stopped = now.version+1, true
		}
	case verbRemove:
		now.version, now.stopped = now.version+1, true
		return modelled{removed: now}, answerDone
	case verbGet, verbList:
	}
	return modelled{now: now}, answerDone
}

// step is one call as one machine does it that keeps a service.
func (m modelled) step(input callInput, output callOutput) (bool, modelled) {
	next, told := m.follow(input)
	switch {
	case output.answer == answerOpen:
		return true, next
	case m.lingers(input, output):
		return true, m
	case output.answer != told:
		return false, m
	case told != answerDone:
		return true, m
	}
	return output.kept == next.toldOf(input.verb), next
}

// toldOf returns what a client is told of the service when its call was done.
func (m modelled) toldOf(verb historyVerb) kept {
	switch verb {
	case verbDeploy:
		return kept{revision: m.now.revision}
	case verbRemove:
		return m.removed
	default:
		return m.now
	}
}

// lingers reports whether a call may be answered so by a service that was removed: it
// is forgotten only a moment later.
func (m modelled) lingers(input callInput, output callOutput) bool {
	switch {
	case m.now.version != 0 || m.removed.version == 0:
		return false
	case input.guard != 0 && input.guard != m.removed.version:
		return output.answer == answerStale
	case input.verb == verbDeploy || input.verb == verbScale:
		return output.answer == answerConflict
	}
	return output.answer == answerDone && output.removing && output.kept == m.removed
}

// historyKinds is how many kinds of open calls a model tells apart.
const historyKinds = 64

// openCall is a call of which nobody knows the outcome. Of those that do the same, all
// may be taken to come in the order in which they were asked; else a check would try
// every one in the place of every other, and take ten times as long for three more.
type openCall struct {
	callInput

	kind, rank int // among those that do the same; a kind of historyKinds or more is in no order
}

// machine is a service with the open calls that have come, by kind.
type machine struct {
	modelled

	come [historyKinds]uint8
}

func (m machine) step(in any, output callOutput) (bool, machine) {
	input, known := in.(callInput)
	if !known {
		open := in.(openCall)
		input = open.callInput
		if open.kind < historyKinds {
			if int(m.come[open.kind]) != open.rank {
				return false, m
			}
			m.come[open.kind]++
		}
	}
	var ok bool
	ok, m.modelled = m.modelled.step(input, output)
	return ok, m
}

// ordered returns the calls about one service, the open ones in the order of their kind.
func ordered(all []porcupine.Operation, service int) []porcupine.Operation {
	var part []porcupine.Operation
	for _, operation := range all {
		if operation.Input.(callInput).service == service {
			part = append(part, operation)
		}
	}
	slices.SortStableFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	kinds, ranks := make(map[callInput]int), make(map[callInput]int)
	for i, operation := range part {
		if operation.Output.(callOutput).answer != answerOpen {
			continue
		}
		input := operation.Input.(callInput)
		does := input.does()
		if _, known := kinds[does]; !known {
			kinds[does] = len(kinds)
		}
		part[i].Input = openCall{input, kinds[does], ranks[does]}
		ranks[does]++
	}
	return part
}

// model is what one machine would say.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, historyServices)
		for service := range parts {
			parts[service] = ordered(all, service)
		}
		return parts
	},
	Init: func() any { return machine{modelled: modelled{now: kept{version: 1, revision: 1, instances: 1}}} },
	Step: func(state, in, out any) (bool, any) {
		return state.(machine).step(in, out.(callOutput))
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}
