package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
	"github.com/aloft-run/aloft/telemetry"
)

// routerFlags are what a router is told on its command line.
type routerFlags struct {
	id        string
	masters   []string
	dataDir   string
	http      string
	accessLog string
	admin     string
	replace   bool
	fastPath  bool
	patience  time.Duration
	shutdown  time.Duration
	common    commonFlags
}

func routerCommand() *cobra.Command {
	var flags routerFlags
	cmd := &cobra.Command{
		Use:   "router",
		Short: "Run a router: it takes requests and spreads them over ready instances",
		Long: "Run a router: it takes requests and spreads them over the ready instances of services.\n\n" +
			"It keeps its last table on disk and serves on while the masters are away.\n\n" +
			"With --replace it takes over from the router that runs on the data folder, of whatever version, without losing a\n" +
			"connection: it gets the sockets, the other one lets its requests end. Where none runs it simply starts.",
		Example: "  aloft router --master http://10.0.0.1:7117 --http :80 --data-dir /var/lib/aloft/router\n" +
			"  aloft router --replace --master http://10.0.0.1:7117 --http :80 --data-dir /var/lib/aloft/router",
		Args: cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.common.logger(cmd.ErrOrStderr(), "router")
			if err != nil {
				return err
			}
			return runRouter(cmd.Context(), flags, cmd.OutOrStdout(), log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.id, "id", "", "name of this router (default: the host name)")
	f.StringSliceVar(&flags.masters, "master", []string{client.DefaultAddress}, "address of a master; may be given several times")
	f.StringVar(&flags.dataDir, "data-dir", "/var/lib/aloft/router", "folder that keeps the last table")
	f.StringVar(&flags.http, "http", "127.0.0.1:8080", "address for HTTP/1.1 and HTTP/2; routes with a port of their own are on its host")
	f.StringVar(&flags.accessLog, "access-log", "", "file for one line of JSON per request, or - for standard output")
	f.StringVar(&flags.admin, "admin", "", "address for health, readiness and metrics, such as 127.0.0.1:7119")
	f.BoolVar(&flags.replace, "replace", false, "take over from the router that runs on the data folder, if there is one")
	f.DurationVar(&flags.patience, "client-timeout", time.Minute, "how long a client may send nothing of a request's body, or take nothing of an answer")
	f.BoolVar(&flags.fastPath, "fast-path", true, "serve plain HTTP/1.1 without net/http; with false, net/http serves all of it")
	f.DurationVar(&flags.shutdown, "shutdown", 30*time.Second, "how long requests in flight may go on when it is told to stop")
	flags.common.add(f)
	return cmd
}

// check refuses flags that cannot be meant.
func (f routerFlags) check() error {
	for _, flag := range []struct {
		name string
		time time.Duration
	}{{"--client-timeout", f.patience}, {"--shutdown", f.shutdown}} {
		if flag.time <= 0 {
			return cli.UsageError("%s: found %v; want a time above 0s", flag.name, flag.time)
		}
	}
	return cmp.Or(checkMasters(f.masters), checkFolder(f.dataDir), checkID("--id", f.id),
		checkListen("--http", f.http), checkAdmin(f.admin))
}

// routerMasters follows the masters for one router.
type routerMasters struct {
	client *client.Client
	router id.Router
}

// Follow holds one session, and ends it with a goodbye.
func (m routerMasters) Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error {
	return m.client.RouterSession(ctx, m.router, confirmations, apply)
}

// holdThreads makes room in Go's scheduler for the hands of a loop, which hold a thread each, and
// returns how many there are to be: as many as processors, but two at least, so that one is there
// to go on when the kernel puts another aside. More of them would take turns on the processors, and
// each that is put aside with a socket in its hand would wait for its own kind.
func holdThreads() (hands int) {
	processors := runtime.GOMAXPROCS(0)
	hands = max(2, processors)
	runtime.GOMAXPROCS(processors + hands)
	return hands
}

func runRouter(ctx context.Context, flags routerFlags, out io.Writer, log *slog.Logger) error {
	if err := flags.check(); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil && flags.id == "" {
		return fmt.Errorf("--id is missing, and the host has no name: %w", err)
	}
	post, err := takePost(ctx, flags, id.Router(cmp.Or(flags.id, strings.ToLower(name))))
	if err != nil {
		return err
	}
	defer post.close()
	access, err := accessLog(flags.accessLog, out)
	if err != nil {
		return err
	}
	defer func() { _ = access.Close() }()
	masters, err := client.New(flags.masters...)
	if err != nil {
		return err
	}
	defer masters.Close()
	registry := telemetry.NewRegistry()
	cfg := post.complete(router.Config{
		StateFile:     filepath.Join(flags.dataDir, "table.json"),
		ClientTimeout: flags.patience, ShutdownGrace: flags.shutdown, Registerer: registry, Log: log,
		FastPathOff: !flags.fastPath, LoopThreads: holdThreads(),
	})
	if flags.accessLog != "" {
		cfg.AccessLog = access
	}
	r, err := router.New(cfg, routerMasters{masters, cfg.ID})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	parts, running := errgroup.WithContext(ctx)
	parts.Go(func() error { return r.Run(running) })
	parts.Go(func() error { return rest(running, log) })
	post.hold(running, parts, r, func() { end(router.ErrReplaced) }, log)
	flags.common.serveAdmin(running, parts, adminPage{
		listener: post.admin, registry: registry,
		ready: func() error {
			if r.Status().Version == (route.Version{}) {
				return errors.New("no routing table yet")
			}
			return nil
		},
	})
	return untilDone(ctx, parts.Wait())
}

// accessLog opens where the access log goes.
func accessLog(name string, out io.Writer) (io.WriteCloser, error) {
	if name == "" || name == "-" {
		return keepOpen{out}, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return file, nil
}

// keepOpen is a writer that others close.
type keepOpen struct{ io.Writer }

// Close does nothing.
func (keepOpen) Close() error { return nil }
