package agent_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// ask sends a log order and lets all that follows at once happen.
func (w *world) ask(order *pb.LogOrder) {
	w.Helper()
	w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Logs{Logs: order}})
	synctest.Wait()
}

// print appends to the output of an attempt.
func (w *world) print(name string, attempt int, stream, text string) {
	w.Helper()
	if err := os.MkdirAll(w.file(name), 0o755); err != nil {
		w.Fatal(err)
	}
	to, err := logs.Open(logs.Config{Dir: w.file(name, "logs", fmt.Sprint(attempt)), Name: stream})
	if err != nil {
		w.Fatalf("%v", err)
	}
	_, _ = to.Write([]byte(text)) // never fails
	_ = to.Close()
}

func TestLogsAreShown(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		order *pb.LogOrder
		lines []string
		err   string
	}{
		"the newest attempt":     {order: &pb.LogOrder{Task: "web-1", Lines: 10}, lines: []string{"stderr: oh", "stdout: three", "stdout: two"}},
		"the last lines":         {order: &pb.LogOrder{Task: "web-1", Lines: 1}, lines: []string{"stderr: oh", "stdout: three"}},
		"the attempt before":     {order: &pb.LogOrder{Task: "web-1", Lines: 10, Previous: true}, lines: []string{"stdout: one"}},
		"a task that has gone":   {order: &pb.LogOrder{Task: "copy-1", Lines: 10}, lines: []string{"stdout: done"}},
		"no attempt before":      {order: &pb.LogOrder{Task: "copy-1", Previous: true}, err: "no attempt before"},
		"an unknown task":        {order: &pb.LogOrder{Task: "nobody"}, err: "no logs on agent a1"},
		"what is no task":        {order: &pb.LogOrder{Task: "../../etc"}, err: "not a name"},
		"nothing was printed":    {order: &pb.LogOrder{Task: "silent", Lines: 10}},
		"nothing before":         {order: &pb.LogOrder{Task: "silent", Lines: 10, Previous: true}, err: "no attempt before"},
		"a silent first attempt": {order: &pb.LogOrder{Task: "web-2", Lines: 10, Previous: true}},
		"gone without a word":    {order: &pb.LogOrder{Task: "quiet", Lines: 10}},
		"no UTF-8":               {order: &pb.LogOrder{Task: "binary", Lines: 10}, lines: []string{"stdout: a\uFFFDb"}},
		"no end of line":         {order: &pb.LogOrder{Task: "unended", Lines: 10, Follow: true}, lines: []string{"stdout: unended"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				w.run(service(), "web-1", "silent")
				w.print("web-1", 1, "stdout", "one\n")
				w.print("web-1", 2, "stdout", "two\nthree\n")
				w.print("web-1", 2, "stderr", "oh\n")
				w.print("web-2", 2, "stdout", "again\n")
				w.print("copy-1", 1, "stdout", "done\n")
				touch(w, w.file("quiet", "fetched"))
				w.print("binary", 1, "stdout", "a\xff\xfeb\n")
				w.print("unended", 1, "stdout", "unended")
				tc.order.Request = "r1"

				w.ask(tc.order)

				answer := w.answer("r1")
				slices.Sort(answer.lines)
				if !answer.ended || !slices.Equal(answer.lines, tc.lines) {
					w.Errorf("answer %+v, want %q", answer, tc.lines)
				}
				if tc.err == "" && answer.err != "" || !strings.Contains(answer.err, tc.err) {
					w.Errorf("error %q, want %q", answer.err, tc.err)
				}
			})
		})
	}
}

// TestAFollowEndsWithItsAttempt, and everything that was written until then is
// delivered.
func TestAFollowEndsWithItsAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute, Exit: runtime.Exit{Code: 1}}), func(w *world) {
		w.run(service(), "web-1")
		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Follow: true, Lines: 10})
		w.print("web-1", 1, "stdout", "one\n")
		w.pass(time.Second)
		if got := w.answer("r1"); got.ended || !slices.Equal(got.lines, []string{"stdout: one"}) {
			w.Errorf("after a second %+v", got)
		}
		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Follow: true, Lines: 10}) // repeated
		w.pass(59*time.Second - time.Millisecond)

		w.print("web-1", 1, "stdout", "two\nlast words")
		w.pass(time.Millisecond)

		if got := w.answer("r1"); !got.ended || !slices.Equal(got.lines, []string{"stdout: one", "stdout: two", "stdout: last words"}) {
			w.Errorf("in the end %+v", got)
		}
	})
}

// TestAFollowOfANewAttempt shows that one, though it has written nothing yet.
func TestAFollowOfANewAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute}), func(w *world) {
		w.run(service(), "web-1")
		w.print("web-1", 1, "stdout", "of the first\n")
		w.pass(61 * time.Second)
		w.want("web-1", "ready 2")

		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Follow: true, Lines: 10})
		w.pass(time.Second)
		w.print("web-1", 2, "stdout", "of the second\n")
		w.pass(time.Second)

		if got := w.answer("r1"); got.ended || !slices.Equal(got.lines, []string{"stdout: of the second"}) {
			w.Errorf("%+v", got)
		}
	})
}

func TestAFollowIsCancelled(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Follow: true})
		w.ask(&pb.LogOrder{Request: "r2", Cancel: true}) // nobody's

		w.ask(&pb.LogOrder{Request: "r1", Cancel: true})
		w.ask(&pb.LogOrder{Request: "r1", Cancel: true})
		w.print("web-1", 1, "stdout", "late\n")
		w.pass(time.Hour)

		if got := w.answer("r1"); !got.ended || len(got.lines) > 0 {
			w.Errorf("%+v", got)
		}
		w.want("web-1", "ready 1")
	})
}

// TestLongLinesAreSentInPieces, and nothing of them is lost.
func TestLongLinesAreSentInPieces(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute}), func(w *world) {
		w.run(service(), "web-1")
		long := strings.Repeat("0123456789", 50_000)
		w.print("web-1", 1, "stdout", "short\n"+long+"\nshort again\n")

		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Follow: true, Lines: -1})
		w.print("web-1", 1, "stdout", strings.Repeat("x", 100_000))
		w.pass(time.Second)
		if last := w.answer("r1").lines; !strings.HasPrefix(last[len(last)-1], "stdout: xxx") {
			w.Error("of a line that does not end, nothing is sent")
		}
		w.pass(time.Minute)

		got := w.answer("r1")
		var text strings.Builder
		for _, line := range got.lines {
			if len(line) > 70_000 {
				w.Errorf("a line of %d bytes", len(line))
			}
			text.WriteString(strings.TrimPrefix(line, "stdout: "))
		}
		if want := "short" + long + "short again" + strings.Repeat("x", 100_000); !got.ended || text.String() != want {
			w.Errorf("%d bytes in %d lines, want %d bytes", text.Len(), len(got.lines), len(want))
		}
	})
}

// TestManyLinesAreSentInBatches that a master takes.
func TestManyLinesAreSentInBatches(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.print("web-1", 1, "stdout", strings.Repeat(strings.Repeat("x", 999)+"\n", 2000))

		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Lines: 2000})

		got := w.answer("r1")
		if len(got.lines) != 2000 || got.batchMax < 200_000 || got.batchMax > 300_000 {
			w.Errorf("%d lines in batches of up to %d bytes", len(got.lines), got.batchMax)
		}
	})
}

// TestTheEndOfAnAgentEndsItsAnswers: nothing of them lives on.
func TestTheEndOfAnAgentEndsItsAnswers(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.ask(&pb.LogOrder{Request: "r2", Task: "web-1", Follow: true})

		w.end()

		if got := w.answer("r2"); !got.ended {
			w.Errorf("%+v", got)
		}
	})
}

// TestRefusedAttemptsPushOutNoLogs: the last words of a task whose program has gone since stay.
func TestRefusedAttemptsPushOutNoLogs(t *testing.T) {
	t.Parallel()
	vanishing := func(launch runtime.Launch) fake.Play {
		if launch.Key.Attempt > 1 {
			return fake.Play{Refused: runtime.ErrNotFound}
		}
		return fake.Play{Lives: time.Second, Exit: runtime.Exit{Code: 1}}
	}
	inWorld(t, vanishing, func(w *world) {
		w.run(service(), "web-1")
		w.print("web-1", 1, "stdout", "why it died\n")
		w.pass(time.Hour)

		w.ask(&pb.LogOrder{Request: "r1", Task: "web-1", Lines: 10})

		if answer := w.answer("r1"); !slices.Equal(answer.lines, []string{"stdout: why it died"}) {
			w.Errorf("answer %+v", answer)
		}
	})
}
