package main_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The size of a drawn history: of a slow machine many calls have no known outcome.
const (
	drawnCalls    = 400
	drawnOpen     = 24
	drawnTogether = 8 // open calls that are asked at once
)

// TestHistoryCheck: a check says Ok to what one machine has said, however many calls have no
// known outcome, and finds one answer that it cannot have given.
func TestHistoryCheck(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1))
			history := drawHistory(dice)
			if result := porcupine.CheckOperationsTimeout(model, history, historyCheck); result != porcupine.Ok {
				t.Errorf("a history of one machine is %s, want Ok", result)
			}

			spoil(dice, history)

			if result := porcupine.CheckOperationsTimeout(model, history, historyCheck); result != porcupine.Illegal {
				t.Errorf("a history with an answer that is wrong is %s, want Illegal", result)
			}
		})
	}
}

// drawnCall is a call that has its effect at a moment, or never (0).
type drawnCall struct {
	porcupine.Operation

	at int64
}

// drawHistory draws calls about one service, and what a machine answers to them.
func drawHistory(dice *rand.Rand) []porcupine.Operation {
	calls, end := drawKnown(dice)
	for i := range drawnOpen {
		input := callInput{verb: verbScale + historyVerb(i%2), number: 100}
		call := drawnCall{Operation: porcupine.Operation{
			Input: input, Call: end / 2 * int64(i/drawnTogether) / (drawnOpen / drawnTogether), Output: callOutput{answer: answerOpen}, Return: int64(time.Hour),
		}}
		if dice.IntN(3) == 0 {
			call.at = call.Call + 1 + dice.Int64N(end/2)
		}
		calls = append(calls, call)
	}
	slices.SortStableFunc(calls, func(a, b drawnCall) int { return cmp.Compare(a.at, b.at) })
	history, now := make([]porcupine.Operation, len(calls)), model.Init().(machine).modelled
	for i, call := range calls {
		history[i] = call.Operation
		if call.at > 0 {
			now = answerTo(&history[i], now)
		}
	}
	return history
}

// drawKnown draws the calls of several clients, and returns when the last one ends.
func drawKnown(dice *rand.Rand) (calls []drawnCall, end int64) {
	for range historyClients {
		for at, n := dice.Int64N(1000), 0; n < drawnCalls/historyClients; n++ {
			took := 100 + dice.Int64N(1000)
			calls = append(calls, drawnCall{porcupine.Operation{Input: drawCall(dice, 0, int64(n)), Call: at, Return: at + took}, at + 1 + dice.Int64N(took)})
			at += took + dice.Int64N(200)
			end = max(end, at)
		}
	}
	return calls, end
}

// answerTo has the call done to a service, and returns what is kept then.
func answerTo(call *porcupine.Operation, now modelled) modelled {
	input := call.Input.(callInput)
	next, told := now.follow(input)
	if call.Output != nil { // that nobody is told
		return next
	}
	output := callOutput{answer: told}
	if told == answerDone {
		output.kept = next.toldOf(input.verb)
	}
	call.Output = output
	return next
}

// spoil changes what one client was told.
func spoil(dice *rand.Rand, history []porcupine.Operation) {
	for _, i := range dice.Perm(len(history)) {
		if output := history[i].Output.(callOutput); output.kept.version > 0 {
			output.kept.version += drawnCalls
			history[i].Output = output
			return
		}
	}
}
