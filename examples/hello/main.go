// Command hello is a web server to deploy: it tells its version and its
// instance, answers slowly or as a stream when asked to, and stops gracefully.
//
// It knows nothing of aloft. A cluster gives it its port and its name through
// the environment, asks /ready, and sends SIGTERM; --ready-after, --fail-ready
// and --exit-at-once make it a release that goes wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker; the environment's VERSION goes before it.
var version = "dev"

// errAsked ends a hello that was started with --exit-at-once.
var errAsked = errors.New("told to exit at once")

// options are what a hello is started with.
type options struct {
	listen     string
	readyAfter time.Duration
	stopWithin time.Duration
	failReady  bool
	exitAtOnce bool
}

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err = run(ctx, opts, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// parse reads the flags; it has told about a wrong one when it returns an error.
func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("hello", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:8000", "serve on this `address`")
	flags.DurationVar(&opts.readyAfter, "ready-after", 0, "be ready this long after the start")
	flags.DurationVar(&opts.stopWithin, "stop-within", 30*time.Second, "on SIGTERM finish requests for at most this long")
	flags.BoolVar(&opts.failReady, "fail-ready", false, "never be ready")
	flags.BoolVar(&opts.exitAtOnce, "exit-at-once", false, "exit with code 1 instead of serving")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintln(stderr, "hello:", err)
		return options{}, err
	}
	return opts, nil
}

// run serves until ctx is done, then finishes the requests that are under way.
func run(ctx context.Context, opts options, stdout io.Writer) error {
	if opts.exitAtOnce {
		return errAsked
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opts.listen)
	if err != nil {
		return err
	}
	site := newSite(identify(os.Getenv), ctx.Done())
	server := &http.Server{Handler: site.handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1) // the one result of Serve
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(stdout, "hello %s serves on %s as %s\n", site.who.version, listener.Addr(), site.who.instance)

	if !opts.failReady {
		timer := time.AfterFunc(opts.readyAfter, func() { site.ready.Store(true) })
		defer timer.Stop()
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(stdout, "hello finishes its requests and stops")
	return shutDown(context.WithoutCancel(ctx), server, served, opts.stopWithin)
}

func shutDown(ctx context.Context, server *http.Server, served <-chan error, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := server.Shutdown(ctx)
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}
