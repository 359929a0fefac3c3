package cli_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/cli"
)

// backupOf returns what a master sends of a backup, in pieces of three bytes, and
// the backup.
func backupOf(text string) (script, whole string) {
	sum := sha256.Sum256([]byte(text))
	whole = text + string(sum[:])
	var lines strings.Builder
	for rest := whole; rest != ""; {
		n := min(3, len(rest))
		fmt.Fprintf(&lines, "{\"bytes\": %q}\n", base64.StdEncoding.EncodeToString([]byte(rest[:n])))
		rest = rest[n:]
	}
	return lines.String(), whole
}

func TestBackupSave(t *testing.T) {
	t.Parallel()
	script, whole := backupOf("all that there is")
	last := `{"revision": "17"}`
	tests := map[string]struct {
		script string
		code   int
		says   string
	}{
		"whole":                  {script + last, cli.ExitOK, "saved, 49 bytes, revision 17"},
		"without its end":        {script, cli.ExitFailed, "did not come whole"},
		"with a wrong sum":       {script + `{"bytes": "AA=="}` + "\n" + last, cli.ExitFailed, "did not come whole"},
		"of a master that fails": {script + "error internal: the disk is gone", cli.ExitFailed, "the disk is gone"},
		"of a master that goes":  {script + "error unavailable: it ends", cli.ExitUnreachable, "it ends"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "monday.aloft")
			f := startFake(t, map[string][]string{"Backup": {tc.script}})

			done := f.execute(t, "", "backup", "save", file)

			if done.code != tc.code || !strings.Contains(done.out+done.err, tc.says) {
				t.Errorf("exit %d, said %q", done.code, done.out+done.err)
			}
			text, err := os.ReadFile(file)
			left, _ := os.ReadDir(dir)
			if saved := tc.code == cli.ExitOK; saved && string(text) != whole || saved != (err == nil) || saved != (len(left) == 1) {
				t.Errorf("the file holds %q, %v; the folder holds %v", text, err, left)
			}
		})
	}
}

func TestBackupReplacesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "monday.aloft")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := startFake(t, nil)

	done := f.execute(t, "", "backup", "save", file)

	if text, err := os.ReadFile(file); done.code != cli.ExitUsage || string(text) != "before" || err != nil || len(f.taken()) != 0 {
		t.Errorf("exit %d, said %q; the file holds %q, %v", done.code, done.err, text, err)
	}
}
