package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/cli"
	"github.com/aloft-run/aloft/store"
)

// backupCommands are those for backups that need no master.
func backupCommands() []*cobra.Command {
	return []*cobra.Command{checkBackup(), restoreBackup(), salvageBackup()}
}

// oneFile wants the name of a file.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return cli.UsageError("%s: found %d arguments; want one, FILE\nExample:\n%s", cmd.CommandPath(), len(args), cmd.Example)
	}
	return nil
}

// tell writes an answer as JSON, if that was asked for, or else as text.
func tell(cmd *cobra.Command, answer any, text string) error {
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

func checkBackup() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say whether a backup is whole, and what it holds", Example: "  aloft backup check monday.aloft", Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			contents, err := store.Inspect(cmd.Context(), args[0], "")
			if err != nil {
				return err
			}
			var words []string
			for _, kind := range slices.Sorted(maps.Keys(contents.Keys)) {
				words = append(words, fmt.Sprintf("%s: %d", kind, contents.Keys[kind]))
			}
			return tell(cmd, struct {
				File     string         `json:"file"`
				Revision int64          `json:"revision"`
				Records  map[string]int `json:"records"`
			}{args[0], contents.Revision, contents.Keys},
				fmt.Sprintf("%s: whole, revision %d\n%s", args[0], contents.Revision, strings.Join(words, ", ")))
		},
	}
}

func restoreBackup() *cobra.Command {
	var flags masterFlags
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make the data folder of a master from a backup",
		Long: "Make the data folder of a master from a backup.\n\n" +
			"It is done where the master shall run, and for each of several with the same --cluster before any of them is started.\n" +
			"All masters of the old cluster must have ended. Agents, routers and tasks go on with the new one: what was started\n" +
			"after the backup is stopped, and what was stopped is started.",
		Example: "  aloft backup restore monday.aloft --data-dir /var/lib/aloft/master\n" +
			"  aloft backup restore monday.aloft --name m1 --cluster m1=http://10.0.0.1:7118,m2=http://10.0.0.2:7118,m3=http://10.0.0.3:7118",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return restore(cmd, flags, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the master (default: the host name)")
	f.StringVar(&flags.dataDir, "data-dir", "/var/lib/aloft/master", "data folder to make; it must be empty or not there")
	f.Var(&flags.cluster, "cluster", "all masters of the new cluster, as `NAME=URL,...` (default: this master alone)")
	return cmd
}

func restore(cmd *cobra.Command, flags masterFlags, path string) error {
	host, err := os.Hostname()
	if err != nil && flags.name == "" {
		return fmt.Errorf("--name is missing, and the host has no name: %w", err)
	}
	if err := checkEmpty(flags.dataDir); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	name := cmp.Or(flags.name, strings.ToLower(host))
	if _, ok := flags.cluster[name]; len(flags.cluster) > 0 && !ok {
		return cli.UsageError("--cluster: it does not name this master, %s", name)
	}
	revision, err := store.Restore(cmd.Context(), flags.store(name, slog.New(slog.DiscardHandler)), file)
	if err != nil {
		return err
	}
	return tell(cmd, struct {
		DataDir  string `json:"data_dir"`
		Name     string `json:"name"`
		Revision int64  `json:"revision"`
	}{flags.dataDir, name, revision},
		fmt.Sprintf("%s: restored for master %s, revision %d\nStart it with the same --name, --cluster and --data-dir.", flags.dataDir, name, revision))
}

// checkEmpty refuses a data folder that holds anything, but for an empty etcd, of
// a backup that could not be restored, and for what a new file system has.
func checkEmpty(dir string) error {
	if err := checkFolder(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cli.UsageError("--data-dir: %v", err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != etcdFolder && name != "lost+found" {
			return cli.UsageError("--data-dir: %s is not empty: it holds %s", dir, name)
		}
	}
	return nil
}

func salvageBackup() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "salvage FILE", Short: "Make a backup from the data folder of a master that has stopped",
		Long: "Make a backup from the data folder of a master that has stopped.\n\n" +
			"It is for a cluster that has lost the majority of its masters for good, and saves more than an old backup would:\n" +
			"all that this master had heard of. The folder is left as it is.",
		Example: "  aloft backup salvage last.aloft --data-dir /var/lib/aloft/master", Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFolder(dataDir); err != nil {
				return err
			}
			saved, err := salvage(cmd.Context(), masterFlags{dataDir: dataDir}, args[0])
			if err != nil {
				return err
			}
			asJSON, err := cmd.Flags().GetBool("json")
			return errors.Join(err, saved.Show(cmd.OutOrStdout(), asJSON))
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/aloft/master", "data folder of the master")
	return cmd
}

func salvage(ctx context.Context, flags masterFlags, path string) (saved cli.SavedBackup, err error) {
	saved.File = path
	err = cli.WriteNew(path, func(w io.Writer) (err error) {
		counted := &counter{w: w}
		saved.Revision, err = store.Salvage(ctx, flags.store("", slog.New(slog.DiscardHandler)), counted)
		saved.Bytes = counted.bytes
		return err
	})
	return saved, err
}

// counter counts what is written.
type counter struct {
	w     io.Writer
	bytes int64
}

func (c *counter) Write(p []byte) (n int, err error) {
	n, err = c.w.Write(p)
	c.bytes += int64(n)
	return n, err
}
