package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/hugepage"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/telemetry"
)

// masterFlags are what a master is told on its command line.
type masterFlags struct {
	name         string
	dataDir      string
	cluster      members
	listenPeer   string
	join         bool
	endpoints    []string
	listen       string
	advertise    string
	suspectAfter time.Duration
	quota        size
	keepEnded    int
	keepEndedFor time.Duration
	common       commonFlags
}

// size is a flag's number of bytes, as 8GiB.
type size int64

// Set reads it.
func (s *size) Set(text string) error {
	quantity, err := resource.Parse(resource.Mem, text)
	if err != nil {
		return err
	}
	*s = size(quantity.Amount())
	return nil
}

// String is how it is written.
func (s *size) String() string { return resource.Format(resource.Mem, resource.Scalar(int64(*s))) }

// Type is its name in the help.
func (*size) Type() string { return "size" }

// quotaDefault is that of the store, too.
const quotaDefault = 8 << 30

// hugeHeap is up to where a master's heap may be of huge pages: a million tasks need less.
const hugeHeap = 4 << 30

func masterCommand() *cobra.Command {
	flags := masterFlags{quota: quotaDefault}
	cmd := &cobra.Command{
		Use:   "master",
		Short: "Run a master: the control plane and its state",
		Long: "Run a master: the control plane and its state.\n\n" +
			"The state is kept in an etcd member inside this process, alone or as one of several, or in an etcd\n" +
			"cluster outside. One master leads. The others stand by, hand calls on to it, and take over when it\n" +
			"goes or dies. Of three masters any one may fail, of five any two.",
		Example: "  aloft master --listen 10.0.0.1:7117 --data-dir /var/lib/aloft/master\n" +
			"  aloft master --name m1 --listen 10.0.0.1:7117 \\\n" +
			"    --cluster m1=http://10.0.0.1:7118,m2=http://10.0.0.2:7118,m3=http://10.0.0.3:7118\n" +
			"  aloft master --name m4 --listen 10.0.0.4:7117 --join --cluster m1=http://10.0.0.1:7118,m4=http://10.0.0.4:7118\n" +
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
	f.StringVar(&flags.name, "name", "", "name of this master (default: the host name)")
	f.StringVar(&flags.dataDir, "data-dir", "/var/lib/aloft/master", "folder of the embedded etcd member")
	f.Var(&flags.cluster, "cluster",
		"all masters with an embedded member, as `NAME=URL,...`: where the others reach each member (default: this master alone,\nwhich cannot grow; one that names itself can)")
	f.BoolVar(&flags.join, "join", false, "join the cluster of the other masters in --cluster, to which 'aloft masters add' has added this one")
	f.StringVar(&flags.listenPeer, "listen-peer", "", "`URL` on which this member awaits the others, by IP address (default: its own in --cluster)")
	f.StringSliceVar(&flags.endpoints, "etcd-endpoints", nil, "addresses of an outside etcd, in place of the embedded one")
	f.StringVar(&flags.listen, "listen", "127.0.0.1:7117", "address of the API, of agents and routers, and of health and metrics")
	f.StringVar(&flags.advertise, "advertise", "", "`URL` at which other masters reach the API (default: that of --listen, or the host's name where that is every address)")
	f.DurationVar(&flags.suspectAfter, "suspect-after", 3*time.Second, "an agent not heard of for so long is unreachable; when its tasks are given up, on_lost in their specs says")
	f.Var(&flags.quota, "quota", "how large the file of the embedded etcd member may become, as 8GiB; the same for all masters")
	f.IntVar(&flags.keepEnded, "keep-ended", 20, "ended tasks that are kept of each service, beside those of a job's newest run")
	f.DurationVar(&flags.keepEndedFor, "keep-ended-for", 7*24*time.Hour, "for how long ended tasks are kept, those of a job's newest run too when it is over; 0 for good")
	flags.common.add(f)
	return cmd
}

// check refuses flags that cannot be meant.
func (f masterFlags) check(name string) error {
	_, named := f.cluster[name]
	switch {
	case f.suspectAfter <= 0:
		return cli.UsageError("--suspect-after: found %v; want a time above 0s", f.suspectAfter)
	case f.keepEnded < 1:
		return cli.UsageError("--keep-ended: found %d; want 1 or more", f.keepEnded)
	case f.keepEndedFor < 0:
		return cli.UsageError("--keep-ended-for: found %v; want a time, or 0 for good", f.keepEndedFor)
	case len(f.endpoints) > 0 && (len(f.cluster) > 0 || f.join || f.listenPeer != ""):
		return cli.UsageError("--etcd-endpoints: found --cluster, --join or --listen-peer, too; they are for an embedded member")
	case len(f.cluster) > 0 && !named:
		return cli.UsageError("--cluster: it does not name this master, %s", name)
	case f.join && len(f.cluster) < 2:
		return cli.UsageError("--join: --cluster must name this master and at least one other")
	}
	return cmp.Or(checkFolder(f.dataDir), checkListen("--listen", f.listen))
}

func runMaster(ctx context.Context, flags masterFlags, log *slog.Logger) error {
	host, err := os.Hostname()
	if err != nil && flags.name == "" {
		return fmt.Errorf("--name is missing, and the host has no name: %w", err)
	}
	name := cmp.Or(flags.name, strings.ToLower(host))
	if err := flags.check(name); err != nil {
		return err
	}
	// The address comes first: a port in use is told before the state is opened.
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	upTo := hugepage.Heap(hugeHeap)
	log.DebugContext(ctx, "the heap is of huge pages", slog.Int64("up_to", upTo))
	var beside sync.WaitGroup
	defer beside.Wait()
	calm := master.Calm()
	state, err := store.Open(ctx, flags.store(name, log))
	beside.Go(calm)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = state.Close() }()
	registry := telemetry.NewRegistry()
	m, err := master.New(master.Config{
		ID: name, Version: version, Advertise: flags.address(host, listener.Addr()), SuspectAfter: flags.suspectAfter, EndedMax: flags.keepEnded, EndedFor: flags.keepEndedFor,
		Registerer: registry, Log: log,
	}, state)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	admin := telemetry.Admin(telemetry.AdminConfig{Registry: registry, Ready: m.Ready, Pprof: flags.common.pprof})
	return untilDone(ctx, serveMaster(ctx, m, log, listener, m.Handler(admin)))
}

// serveMaster runs a master, and serves its calls until it has handed over to the
// next leader.
func serveMaster(ctx context.Context, m *master.Master, log *slog.Logger, listener net.Listener, handler http.Handler) error {
	serving, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	parts, running := errgroup.WithContext(ctx)
	parts.Go(func() error {
		err := m.Run(running)
		hangUp(err)
		return err
	})
	parts.Go(func() error { return master.Serve(serving, log, listener, handler) })
	parts.Go(func() error {
		master.TendCollector(running)
		return nil
	})
	return parts.Wait()
}

// etcdFolder is the embedded member's, in the data folder.
const etcdFolder = "etcd"

// store says where the state is.
func (f masterFlags) store(name string, log *slog.Logger) store.Config {
	cfg := store.Config{Quota: int64(f.quota), Endpoints: f.endpoints, Cluster: f.cluster, Join: f.join, ListenPeer: f.listenPeer, Log: log}
	if len(f.endpoints) == 0 {
		cfg.DataDir = filepath.Join(f.dataDir, etcdFolder)
	}
	if len(f.cluster) > 0 {
		cfg.Name = name
	}
	return cfg
}

// address returns where the other masters, if there may be any, reach this one.
func (f masterFlags) address(host string, listening net.Addr) string {
	if f.advertise != "" || len(f.cluster) == 0 && len(f.endpoints) == 0 {
		return f.advertise
	}
	at, ok := listening.(*net.TCPAddr)
	if !ok {
		return ""
	}
	if !at.IP.IsUnspecified() {
		host = at.IP.String()
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(at.Port))
}
