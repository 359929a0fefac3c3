package fetch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/core/spec"
)

type origin struct {
	*httptest.Server
	asked atomic.Int64
}

func serve(t *testing.T, answer http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/app", http.StatusFound)
		case "/app":
			_, _ = io.WriteString(w, "app")
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "cut")
		case "/big":
			w.Header().Set("Content-Length", "100000")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		case "/stuck":
			_, _ = io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	})
	tests := map[string]struct {
		path, want string
		is         error
	}{
		"a file":                       {path: "/app"},
		"a redirect":                   {path: "/moved"},
		"not there":                    {path: "/none", want: "404 Not Found"},
		"cut short":                    {path: "/cut", want: "unexpected EOF", is: io.ErrUnexpectedEOF},
		"too big by its own word":      {path: "/big", want: "100000 bytes", is: fetch.ErrTooBig},
		"too big without saying":       {path: "/endless", is: fetch.ErrTooBig},
		"a server that stops speaking": {path: "/stuck", want: "no byte came for 200ms"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sandbox, kept := t.TempDir(), t.TempDir()
			f := newFetcher(t, fetch.Config{CacheDir: kept, SizeMax: 50_000, StallMax: 200 * time.Millisecond})

			err := f.Fetch(t.Context(), spec.Artifact{URL: o.URL + tc.path, Dest: "out"}, sandbox)

			if good := tc.want == "" && tc.is == nil; good {
				if got := tree(t, sandbox); err != nil || got != "out 644 app" {
					t.Errorf("Fetch = %v, sandbox holds %s", err, got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("Fetch = %v, want %q, %v", err, tc.want, tc.is)
			}
			if got := tree(t, sandbox) + tree(t, kept); got != "growing/|sha256/" {
				t.Errorf("left over: %s", got)
			}
		})
	}
}

func TestTheContextEndsAFetch(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		close(begun)
		<-r.Context().Done()
	})
	sandbox := t.TempDir()
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the task was stopped")
	go func() { <-begun; stop(why) }()

	err := newFetcher(t, fetch.Config{}).Fetch(ctx, spec.Artifact{URL: o.URL + "/x", SHA256: sumOf(nil)}, sandbox)

	if !errors.Is(err, why) {
		t.Errorf("Fetch = %v, want the context's cause", err)
	}
	if got := tree(t, sandbox); got != "" {
		t.Errorf("left over: %s", got)
	}
}
