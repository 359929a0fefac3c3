package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/telemetry"
)

// masterFlags are what a master is told on its command line.
type masterFlags struct {
	id        string
	dataDir   string
	endpoints []string
	listen    string
	common    commonFlags
}

func masterCommand() *cobra.Command {
	var flags masterFlags
	cmd := &cobra.Command{
		Use:   "master",
		Short: "Run a master: the control plane and its state",
		Long: "Run a master: the control plane and its state.\n\n" +
			"The state is kept in an etcd member inside this process, or in an etcd cluster outside.",
		Example: "  aloft master --listen 10.0.0.1:7117 --data-dir /var/lib/aloft/master\n" +
			"  aloft master --listen 10.0.0.1:7117 --etcd-endpoints http://10.0.0.7:2379",
		Args: cli.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := flags.common.logger(cmd.ErrOrStderr(), "master")
			if err != nil {
				return err
			}
			return runMaster(cmd.Context(), flags, log)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.id, "id", "", "name of this master (default: the host name)")
	f.StringVar(&flags.dataDir, "data-dir", "/var/lib/aloft/master", "folder of the embedded etcd member")
	f.StringSliceVar(&flags.endpoints, "etcd-endpoints", nil, "addresses of an outside etcd, in place of the embedded one")
	f.StringVar(&flags.listen, "listen", "127.0.0.1:7117", "address of the API, of agents and routers, and of health and metrics")
	flags.common.add(f)
	return cmd
}

func runMaster(ctx context.Context, flags masterFlags, log *slog.Logger) error {
	name, err := os.Hostname()
	if err != nil && flags.id == "" {
		return fmt.Errorf("--id is missing, and the host has no name: %w", err)
	}
	// The address comes first: a port in use is told before the state is opened.
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	cfg := store.Config{Endpoints: flags.endpoints, Log: log}
	if len(flags.endpoints) == 0 {
		cfg.DataDir = filepath.Join(flags.dataDir, "etcd")
	}
	state, err := store.Open(ctx, cfg)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = state.Close() }()
	registry := telemetry.NewRegistry()
	m, err := master.New(master.Config{
		ID: cmp.Or(flags.id, strings.ToLower(name)), Version: version, Registerer: registry, Log: log,
	}, state)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	admin := telemetry.Admin(telemetry.AdminConfig{Registry: registry, Ready: m.Ready, Pprof: flags.common.pprof})
	parts, running := errgroup.WithContext(ctx)
	parts.Go(func() error { return m.Run(running) })
	parts.Go(func() error { return master.Serve(running, listener, m.Handler(admin)) })
	return untilDone(ctx, parts.Wait())
}
