package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aloft-run/aloft/bench/load"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instance answers as an example service does.
func instance(version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", version)
		_, _ = io.Copy(w, r.Body)
	})
}

// during runs a load against a handler until enough requests were begun in its
// phase, and returns what became of them.
func during(t *testing.T, handler http.Handler, requests int) load.Tally {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	l, err := load.Start(load.Config{URL: server.URL, Host: "hello.localhost", Rate: 200}, "first")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for l.Begun() < requests && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
	number := l.Next("second")
	tally, err := l.Tally(ctx, number)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

func TestEveryRequestIsCounted(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	next := instance("v1")

	tally := during(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("phase") == "0" {
			served.Add(1)
		}
		if r.Host != "hello.localhost" {
			t.Errorf("host %q, want hello.localhost", r.Host)
		}
		next.ServeHTTP(w, r)
	}), 100)

	if tally.Requests < 100 || int64(tally.Requests) != served.Load() {
		t.Errorf("%d requests, want the %d that were served", tally.Requests, served.Load())
	}
	if len(tally.Failures) != 0 || tally.Versions["v1"] != tally.Requests {
		t.Errorf("failures %v, answers %v; want all by v1", tally.Failures, tally.Versions)
	}
	if tally.P50 <= 0 || tally.P99 < tally.P50 {
		t.Errorf("p50 %s, p99 %s", tally.P50, tally.P99)
	}
}

func TestNewestAnswers(t *testing.T) {
	t.Parallel()
	var version atomic.Value
	version.Store("v1")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		instance(version.Load().(string)).ServeHTTP(w, r)
	}))
	defer server.Close()
	l, err := load.Start(load.Config{URL: server.URL, Host: "hello.localhost", Rate: 200}, "first")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()

	for _, want := range []string{"v1", "v2"} {
		version.Store(want)
		deadline := time.After(patience)
		for !slices.Equal(l.Newest(), []string{want}) {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("the newest answers are of %v, want %s alone", l.Newest(), want)
			}
		}
	}
}

func TestEachFailureIsTold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		method  string // of those that fail; "" is any
		problem string
		detail  string
	}{
		"the router refuses": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "1")
				w.Header().Set("Aloft-Reason", "no-instance")
				http.Error(w, "no instance of hello is ready\nmore", http.StatusServiceUnavailable)
			},
			problem: "503 Service Unavailable", detail: "no-instance: no instance of hello is ready; Retry-After: 1",
		},
		"the answer is not from an instance": {
			handler: func(http.ResponseWriter, *http.Request) {},
			problem: "the answer does not come from an instance",
		},
		"an echo is cut": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Version", "v1")
				if r.Method == http.MethodPost {
					_, _ = io.WriteString(w, "request 0000 deadbeef")
				}
			},
			method: http.MethodPost, problem: "the echo of 21 bytes is not what was sent",
		},
		"the connection ends in the middle": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("X-Version", "v1")
			},
			method: http.MethodPost,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tally := during(t, tc.handler, 20)

			if len(tally.Failures) == 0 || tc.method == "" && len(tally.Failures) != tally.Requests {
				t.Fatalf("%d of %d failed", len(tally.Failures), tally.Requests)
			}
			for _, f := range tally.Failures {
				if tc.method != "" && f.Method != tc.method {
					t.Errorf("a %s failed: %s", f.Method, f)
				}
				if tc.problem != "" && (f.Problem != tc.problem || f.Detail != tc.detail) {
					t.Errorf("problem %q, detail %q; want %q, %q", f.Problem, f.Detail, tc.problem, tc.detail)
				}
			}
		})
	}
}

// TestASecondAttemptOfTheClientIsAFailure: Go's client sends a GET again when a
// kept connection breaks under it. Others do not.
func TestASecondAttemptOfTheClientIsAFailure(t *testing.T) {
	t.Parallel()
	var gets atomic.Int64

	tally := during(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("X-Lane") == "kept" && gets.Add(1)%3 == 0 {
			panic(http.ErrAbortHandler)
		}
		instance("v1").ServeHTTP(w, r)
	}), 100)

	var twice int
	for _, f := range tally.Failures {
		if f.Problem == "its connection was lost; the client sent it again" {
			twice++
		}
	}
	if twice == 0 {
		t.Errorf("none of %v was told to be sent again", tally.Failures)
	}
}

func TestExcuse(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	kill := load.Window{From: at(100), To: at(102)}
	tests := map[string]struct {
		method  string
		from    int
		to      int
		excused bool
	}{
		"a POST in flight when the kill came":     {method: http.MethodPost, from: 95, to: 103, excused: true},
		"a POST begun during the kill":            {method: http.MethodPost, from: 101, to: 110, excused: true},
		"a GET in flight, which is safe to retry": {method: http.MethodGet, from: 95, to: 103},
		"a POST that had ended":                   {method: http.MethodPost, from: 90, to: 99},
		"a POST begun afterwards":                 {method: http.MethodPost, from: 103, to: 104},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failure := load.Result{
				Method: tc.method, Begun: at(tc.from), Latency: at(tc.to).Sub(at(tc.from)), Problem: "lost",
			}

			tally := load.Tally{Failures: []load.Result{failure}}.Excuse(kill)

			if got := len(tally.Excused) == 1; got != tc.excused || len(tally.Excused)+len(tally.Failures) != 1 {
				t.Errorf("excused %v, failures %v; want excused %t", tally.Excused, tally.Failures, tc.excused)
			}
		})
	}
}

func TestStartRefusesABadConfig(t *testing.T) {
	t.Parallel()

	_, err := load.Start(load.Config{Rate: -1}, "first")

	want := "load config: a load needs a URL\na rate of -1 is not positive"
	if err == nil || err.Error() != want {
		t.Errorf("Start = %v, want %q", err, want)
	}
}
