package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	bodyBytesMax = 1 << 20
	slowMax      = time.Minute
	streamEvery  = 100 * time.Millisecond
)

// identity is what every answer tells about its sender.
type identity struct {
	version  string
	instance string
	greeting string
}

// identify reads the identity from the environment: VERSION, ALOFT_TASK_ID and
// GREETING, each with a default.
func identify(getenv func(string) string) identity {
	or := func(name, otherwise string) string {
		if value := getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	return identity{
		version:  or("VERSION", version),
		instance: or("ALOFT_TASK_ID", "process-"+strconv.Itoa(os.Getpid())),
		greeting: or("GREETING", "hello"),
	}
}

// site answers the requests of one hello.
type site struct {
	who      identity
	stopping <-chan struct{}
	ready    atomic.Bool
}

func newSite(who identity, stopping <-chan struct{}) *site {
	return &site{who: who, stopping: stopping}
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.greet)
	mux.HandleFunc("POST /{$}", echo)
	mux.HandleFunc("GET /ready", s.tellReady)
	mux.HandleFunc("GET /slow", s.answerSlowly)
	mux.HandleFunc("GET /stream", s.stream)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", s.who.version)
		w.Header().Set("X-Instance", s.who.instance)
		mux.ServeHTTP(w, r)
	})
}

func (s *site) greet(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%s from version %s, instance %s\n", s.who.greeting, s.who.version, s.who.instance)
}

// echo reads the whole body before it answers, as a program that stores it would.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(body) // a client that left needs no answer
}

func (s *site) tellReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// answerSlowly takes the time that ?ms= asks for, also while hello stops.
func (s *site) answerSlowly(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	takes := time.Duration(ms) * time.Millisecond
	if err != nil || takes < 0 || takes > slowMax {
		http.Error(w, fmt.Sprintf("want ?ms=N, N from 0 to %d", slowMax.Milliseconds()), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(takes):
		fmt.Fprintf(w, "%s after %s from version %s\n", s.who.greeting, takes, s.who.version)
	case <-r.Context().Done():
	}
}

// stream sends an event at once and one every 100 ms, as many as ?n= asks for;
// without it, until the client leaves. A hello that stops ends its streams with
// an event that says so, and the client's EventSource comes back to another one.
func (s *site) stream(w http.ResponseWriter, r *http.Request) {
	left := -1
	if text := r.URL.Query().Get("n"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, "want ?n=N, N not negative", http.StatusBadRequest)
			return
		}
		left = n
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	due := time.NewTicker(streamEvery)
	defer due.Stop()
	for number := 1; left != 0; number++ {
		left--
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", number, s.who.version)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-due.C:
		case <-s.stopping:
			fmt.Fprint(w, "event: stopping\ndata: come back\n\n")
			return
		case <-r.Context().Done():
			return
		}
	}
}
