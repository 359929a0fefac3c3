package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestOnlyAFaultOfWhoHadItExplainsALoss: a POST without an answer is counted apart
// when its router, or the agent of the very instance that had it, was struck.
func TestOnlyAFaultOfWhoHadItExplainsALoss(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at := func(second float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(second * float64(time.Second)))
	}
	for name, text := range map[string]string{
		"journals/web-1-1.1": "on a1\n1\n", "journals/web-1-2.1": "on a2\n",
		"journals/web-1-3.1": "on a3\ntold to stop at 1970-01-01T00:17:01Z\n", // second 21
		"journals/web-1-4.1": "on a3\ntold to stop at 1970-01-01T00:16:58Z\n", // second 18
		"r1-access.log": `{"method":"POST","path":"/3","status":200,"task":"web-1-1"}
{"method":"POST","path":"/5","status":499,"task":"web-1-2","reason":"client-gone"}
{"method":"POST","path":"/7","status":499,"task":"web-1-1","reason":"client-gone"}
{"method":"POST","path":"/9","status":502,"task":"web-1-1","reason":"broken"}
{"method":"POST","path":"/15","status":504,"task":"web-1-2","reason":"unanswered"}
{"method":"POST","path":"/17","status":504,"task":"web-1-1","reason":"unanswered"}
{"method":"POST","path":"/19","status":502,"task":"web-1-3","reason":"broken"}
{"method":"POST","path":"/21","status":502,"task":"web-1-4","reason":"broken"}
{"method":"POST","pa`,
		"r4-access.log": `{"method":"POST","path":"/23","status":502,"task":"web-1-3","reason":"broken"}
`,
		"r5-access.log": `{"method":"POST","path":"/25","status":502,"task":"web-1-3","reason":"broken"}
`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	failed := func(number int, door, reason string) failure {
		return failure{
			request: request{number: number, method: http.MethodPost}, door: door, begun: at(10), ended: at(30), try: try{ending: unknown, reason: reason, sent: at(10)},
		}
	}
	faults := []fault{
		{kind: kind{name: "power lost", harm: breaks}, part: "a2", from: at(11), to: at(15)},
		{kind: kind{name: "agent kill -9"}, part: "a1", from: at(11), to: at(15)},
		{kind: kind{name: "kill -9", harm: breaks}, part: "r2", from: at(11), to: at(15)},
		{kind: kind{name: cutFromMasters}, part: "r1", from: at(10.5), to: at(21)},
		{kind: kind{name: cutFromMasters}, part: "r4", from: at(0), to: at(5), back: 12 * time.Second},
		{kind: kind{name: cutFromMasters}, part: "r5", from: at(0), to: at(5), back: time.Second},
		{kind: kind{name: toldToStop}, part: "r6", from: at(9), to: at(12)},
		{kind: kind{name: toldToStop}, part: "r7", from: at(9.5), to: at(12)},
	}

	v, err := judge(counts{failures: []failure{
		failed(5, "r1", ""), failed(7, "r1", ""), failed(9, "r1", "broken"), failed(11, "r1", ""), failed(13, "r2", ""),
		failed(15, "r1", "unanswered"), failed(17, "r1", "unanswered"),
		failed(19, "r1", "broken"), failed(21, "r1", "broken"), failed(23, "r4", "broken"), failed(25, "r5", "broken"),
		failed(27, "r6", ""), failed(29, "r7", ""),
	}}, faults, folder)

	if err != nil || len(v.laws) > 0 {
		t.Fatalf("judge = %v, %v", err, v.laws)
	}
	numbers := func(list []failure) (found []int) {
		for _, f := range list {
			found = append(found, f.number)
		}
		return found
	}
	if got := numbers(v.unsaved); !slices.Equal(got, []int{5, 13, 15, 19, 23, 27}) {
		t.Errorf("counted apart are %v, want 5 and 15, which were with an instance of a2, 13, which was at r2, 19 and 23, whose instance had waited for r1 and r4 for a whole drain, and 27, which was written when r6 was about to close", got)
	}
	if got := numbers(v.lost); !slices.Equal(got, []int{7, 9, 11, 17, 21, 25, 29}) {
		t.Errorf("lost are %v, want 7, 9 and 17, which were with an instance of a1, 11, of which nothing is known, 21, whose instance was stopped too early, 25, whose router was back by then, and 29, which was written in time", got)
	}
}
