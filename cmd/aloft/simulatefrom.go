package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/simulate"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// cluster returns the machines that the flags name, and what is on them.
func (f simulateFlags) cluster(ctx context.Context) (simulate.Cluster, error) {
	made := f.file != "" || len(f.shapes) > 0
	switch {
	case f.from != "" && (made || len(f.pools) > 0):
		return simulate.Cluster{}, cli.UsageError("--from: found --agents-file, --agent or --pool, too; want --add and --set-pool for what is not in the recorded cluster")
	case f.from != "":
		return recordedCluster(ctx, f.from)
	case !made:
		return simulate.Cluster{}, cli.UsageError("machines are missing: want --from, --agents-file or --agent, as in --agents 100 --agent cpus=16,mem=64GiB")
	case f.agents < 1:
		return simulate.Cluster{}, cli.UsageError("--agents: found %d; want 1 or more", f.agents)
	}
	shapes, err := readShapes("agent", f.shapes, f.agents)
	if err != nil {
		return simulate.Cluster{}, err
	}
	pools, err := readPools("pool", f.pools)
	if err != nil {
		return simulate.Cluster{}, err
	}
	if f.file != "" {
		text, err := os.ReadFile(f.file)
		if err != nil {
			return simulate.Cluster{}, cli.UsageError("--agents-file: %v", err)
		}
		more, morePools, err := simulate.ParseFile(text)
		if err != nil {
			return simulate.Cluster{}, cli.UsageError("%s: %v", f.file, err)
		}
		shapes, pools = append(more, shapes...), append(morePools, pools...)
	}
	c, err := simulate.Made(shapes, pools)
	if err != nil {
		return c, cli.UsageError("%v", err)
	}
	return c, nil
}

// recordedCluster reads a backup, from a file or from a master.
func recordedCluster(ctx context.Context, from string) (simulate.Cluster, error) {
	path := from
	if strings.Contains(from, "://") {
		dir, err := os.MkdirTemp("", "aloft-simulate-")
		if err != nil {
			return simulate.Cluster{}, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path = filepath.Join(dir, "backup")
		if err := fetchBackup(ctx, from, path); err != nil {
			return simulate.Cluster{}, err
		}
	}
	var records []engine.Record
	err := store.ReadSnapshot(ctx, path, "", func(key string, value []byte) error {
		if _, err := wire.KeyOf(key); err != nil {
			return nil //nolint:nilerr // what else the store keeps is no part of the cluster
		}
		record, err := wire.Unmarshal(value)
		if err != nil {
			return fmt.Errorf("record %s: %w", key, err)
		}
		records = append(records, record)
		return nil
	})
	if err != nil {
		return simulate.Cluster{}, fmt.Errorf("--from: %w", err)
	}
	return simulate.Recorded(records), nil
}

// fetchBackup has a master write a backup to a file.
func fetchBackup(ctx context.Context, address, path string) error {
	masters, err := client.New(strings.Split(address, ",")...)
	if err != nil {
		return cli.UsageError("--from: %v", err)
	}
	defer masters.Close()
	return cli.WriteNew(path, func(w io.Writer) error {
		_, err := cli.CopyBackup(ctx, masters.Cluster(), w)
		return err
	})
}

// simulationProgress shows on a terminal how far a simulation has come, on one
// line that is written anew.
type simulationProgress struct {
	out   io.Writer // nil: nowhere
	shown time.Time
}

// progressEvery is how often the line is written.
const progressEvery = 200 * time.Millisecond

func newSimulationProgress(out io.Writer) *simulationProgress {
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return &simulationProgress{out: out, shown: time.Now()}
	}
	return &simulationProgress{}
}

func (p *simulationProgress) show(at simulate.Progress) {
	if p.out == nil || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, "\r\x1b[K%v: %d of %d copies have arrived, %d are done, %d wait",
		at.At.Round(time.Second), at.Arrived, at.Of, at.Done, at.Waiting)
}

func (p *simulationProgress) clear() {
	if p.out != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
