package examples_test

import (
	"bufio"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHelloAnswers(t *testing.T) {
	t.Parallel()
	hello := start(t, []string{"ALOFT_TASK_ID=web-1", "GREETING=hi"}, buildHello(t, "v7"), "--listen", "127.0.0.1:0")
	tests := map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"a greeting with version and instance": {
			method: http.MethodGet, path: "/", status: 200, want: "hi from version v7, instance web-1\n",
		},
		"a body comes back":                   {method: http.MethodPost, path: "/", body: "a\x00b", status: 200, want: "a\x00b"},
		"a body over the limit is refused":    {method: http.MethodPost, path: "/", body: strings.Repeat("x", 1<<20+1), status: 400, want: "http: request body too large\n"},
		"a slow answer":                       {method: http.MethodGet, path: "/slow?ms=20", status: 200, want: "hi after 20ms from version v7\n"},
		"slow without a number is refused":    {method: http.MethodGet, path: "/slow", status: 400, want: "want ?ms=N, N from 0 to 60000\n"},
		"slower than the limit is refused":    {method: http.MethodGet, path: "/slow?ms=60001", status: 400, want: "want ?ms=N, N from 0 to 60000\n"},
		"a stream of two events":              {method: http.MethodGet, path: "/stream?n=2", status: 200, want: "id: 1\ndata: v7\n\nid: 2\ndata: v7\n\n"},
		"a stream of none":                    {method: http.MethodGet, path: "/stream?n=0", status: 200},
		"a negative stream is refused":        {method: http.MethodGet, path: "/stream?n=-1", status: 400, want: "want ?n=N, N not negative\n"},
		"an unknown path is not found":        {method: http.MethodGet, path: "/nowhere", status: 404, want: "404 page not found\n"},
		"a method that nobody has is refused": {method: http.MethodPut, path: "/", status: 405, want: "Method Not Allowed\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got := ask(t, tc.method, hello.url+tc.path, tc.body)

			want := answer{status: tc.status, body: tc.want, version: "v7", instance: "web-1"}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", tc.method, tc.path, diff)
			}
		})
	}
}

func TestHelloTellsWhenItIsReady(t *testing.T) {
	t.Parallel()
	file := buildHello(t, "v1")

	late := start(t, nil, file, "--listen", "127.0.0.1:0", "--ready-after", "200ms")
	never := start(t, []string{"VERSION=v3"}, file, "--listen", "127.0.0.1:0", "--fail-ready")

	eventually(t, late.url+"/ready", 200)
	if got := ask(t, http.MethodGet, never.url+"/ready", ""); got.status != 503 || got.version != "v3" {
		t.Errorf("with --fail-ready: status %d of version %q, want 503 of v3", got.status, got.version)
	}
}

func TestHelloRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	file := buildHello(t, "v1")
	tests := map[string]struct {
		args []string
		want string
		code int
	}{
		"it is told to exit":      {args: []string{"--exit-at-once"}, want: "hello: told to exit at once\n", code: 1},
		"an address that is none": {args: []string{"--listen", "nowhere"}, want: "hello: listen tcp: address nowhere: missing port in address\n", code: 1},
		"an argument too many":    {args: []string{"more"}, want: "hello: unexpected argument \"more\"\n", code: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), file, tc.args...)

			output, _ := command.CombinedOutput()

			if code := command.ProcessState.ExitCode(); code != tc.code || string(output) != tc.want {
				t.Errorf("exit code %d, %q; want %d, %q", code, output, tc.code, tc.want)
			}
		})
	}
}

func TestHelloFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	hello := start(t, nil, buildHello(t, "v1"), "--listen", "127.0.0.1:0")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hello.url+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	streaming, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = streaming.Body.Close() }()
	stream := bufio.NewScanner(streaming.Body)
	if !stream.Scan() {
		t.Fatalf("the stream has no first line: %v", stream.Err())
	}
	slow := make(chan answer, 1) // the one slow answer
	begun := make(chan struct{})
	go func() {
		close(begun)
		got, err := tryAsk(t.Context(), http.MethodGet, hello.url+"/slow?ms=1500", "")
		if err != nil {
			got.body = err.Error()
		}
		slow <- got
	}()
	<-begun
	// Once another answer of the same length is there, the slow one is surely under way.
	ask(t, http.MethodGet, hello.url+"/slow?ms=500", "")

	hello.signal(t, syscall.SIGTERM)

	if got := <-slow; got.status != 200 {
		t.Errorf("the slow request got status %d, %q; want 200", got.status, got.body)
	}
	var last string
	for stream.Scan() {
		if stream.Text() != "" {
			last = stream.Text()
		}
	}
	if stream.Err() != nil || last != "data: come back" {
		t.Errorf("the stream ended with %q, %v; want its goodbye", last, stream.Err())
	}
	if exit := hello.exitOf(t); exit != "exit status 0" {
		t.Errorf("hello ended with %s, want exit status 0", exit)
	}
}
