package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// BackupCommand is the name of the command that those for backups hang on.
const BackupCommand = "backup"

// errCut is the error for a backup that did not come whole.
var errCut = errors.New("the backup did not come whole; save it again")

// SavedBackup is what is printed of a backup.
type SavedBackup struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Revision int64  `json:"revision"`
}

func (a *app) backup() *cobra.Command {
	cmd := &cobra.Command{
		Use: BackupCommand, Short: "Save all state of the cluster to a file, and make masters from it",
		Long: "Save all state of the cluster to a file, and make masters from it.\n\n" +
			"The state is what the masters know: services and their revisions, tasks, agents, pools. It does not hold what tasks\n" +
			"have written. The file is a snapshot of etcd with its checksum; etcd's own tools read it, too.",
		Example: "  aloft backup save monday.aloft\n  aloft backup check monday.aloft\n" +
			"  aloft backup restore monday.aloft --name m1 --cluster m1=http://10.0.0.1:7118",
		Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.saveBackup())
	return cmd
}

func (a *app) saveBackup() *cobra.Command {
	return &cobra.Command{
		Use: "save FILE", Short: "Save all state while the cluster works", Example: "  aloft backup save monday.aloft", Args: exactly("FILE"),
		Long: "Save all state while the cluster works.\n\n" +
			"FILE must not be there. It appears when it is whole, checked and on the disk. Any master answers.",
		RunE: func(cmd *cobra.Command, args []string) error {
			saved := SavedBackup{File: args[0]}
			err := WriteNew(saved.File, func(w io.Writer) (err error) {
				sum := &trailingSum{hash: sha256.New()}
				saved.Revision, err = a.copyBackup(cmd.Context(), io.MultiWriter(w, sum))
				saved.Bytes = sum.bytes
				return cmp.Or(err, sum.check())
			})
			if err != nil {
				return err
			}
			return saved.Show(cmd.OutOrStdout(), a.json)
		},
	}
}

// Show prints what was saved.
func (s SavedBackup) Show(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	_, err := fmt.Fprintf(out, "%s: saved, %d bytes, revision %d\n", s.File, s.Bytes, s.Revision)
	return err
}

// copyBackup writes what a master sends.
func (a *app) copyBackup(ctx context.Context, w io.Writer) (revision int64, err error) {
	cluster, err := a.cluster()
	if err != nil {
		return 0, err
	}
	revision, err = CopyBackup(ctx, cluster, w)
	return revision, a.advise(err)
}

// CopyBackup writes the backup that a master sends, which holds all up to a revision.
func CopyBackup(ctx context.Context, cluster aloftv1connect.ClusterServiceClient, w io.Writer) (revision int64, err error) {
	stream, err := cluster.Backup(ctx, connect.NewRequest(&pb.BackupRequest{}))
	if err != nil {
		return 0, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if _, err := w.Write(stream.Msg().GetBytes()); err != nil {
			return 0, err
		}
		revision = stream.Msg().GetRevision()
	}
	if err := stream.Err(); err != nil {
		return 0, err
	}
	if revision == 0 {
		return 0, errCut
	}
	return revision, nil
}

// WriteNew has a file written beside its place, where there must be none, and
// puts it there when it is whole and on the disk. After an error nothing is left
// of it.
func WriteNew(path string, write func(w io.Writer) error) error {
	if _, err := os.Stat(path); err == nil {
		return UsageError("FILE: there is %s already; name another", path)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return UsageError("FILE: %s: there is no folder %s", path, filepath.Dir(path))
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // in vain when it is in its place
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if err := cmp.Or(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// trailingSum is given bytes that end in the SHA-256 of all before.
type trailingSum struct {
	hash  hash.Hash
	last  []byte // not hashed, since they may be the sum
	bytes int64
}

func (s *trailingSum) Write(p []byte) (n int, err error) {
	s.bytes += int64(len(p))
	s.last = append(s.last, p...)
	if more := len(s.last) - sha256.Size; more > 0 {
		s.hash.Write(s.last[:more]) // it never fails
		s.last = append(s.last[:0], s.last[more:]...)
	}
	return len(p), nil
}

func (s *trailingSum) check() error {
	if !bytes.Equal(s.last, s.hash.Sum(nil)) {
		return errCut
	}
	return nil
}
