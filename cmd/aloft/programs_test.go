package main_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// webby is the web server that the scripts deploy. It answers with its version
// and its process.
func webby() {
	flags := flag.NewFlagSet("webby", flag.ExitOnError)
	listen := flags.String("listen", "", "address")
	version := flags.String("version", "v1", "what it says of itself")
	readyAfter := flags.Duration("ready-after", 0, "how long /ready is refused; negative: for ever")
	_ = flags.Parse(os.Args[1:]) // it exits at an error
	began := time.Now()
	var stopping atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d\n", *version, os.Getpid())
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, _ *http.Request) { // speaks a protocol of its own
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, in)
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if stopping.Load() || *readyAfter < 0 || time.Since(began) < *readyAfter {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		stopping.Store(true)
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	fmt.Fprintf(os.Stdout, "%s listens on %s\n", *version, *listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
}

// ask sends one request and prints the status and the body. It exits 1 when there
// is no answer.
func ask() {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	method := flags.String("X", http.MethodGet, "method")
	host := flags.String("host", "", "host that is asked for")
	kind := flags.String("type", "", "type of the body")
	body := flags.String("d", "", "body; @FILE is that of a file")
	_ = flags.Parse(os.Args[1:]) // it exits at an error
	if err := send(os.Stdout, *method, flags.Arg(0), *host, *kind, *body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func send(out io.Writer, method, url, host, kind, body string) error {
	text := []byte(body)
	if name, ok := strings.CutPrefix(body, "@"); ok {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Host = host
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	fmt.Fprintln(out, answer.StatusCode)
	_, err = io.Copy(out, answer.Body)
	return err
}
