package builds_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
)

func TestAReleaseCanBeDeployed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()

	release, err := builds.Build(t.Context(), "../..", folder, "v7")
	if err != nil {
		t.Fatal(err)
	}
	file, err := release.Spec(builds.Deploy{
		Instances: 3, Arguments: []string{"--exit-at-once"}, Settle: 2 * time.Second, Deadline: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"service: hello\n", "instances: 3\n", "settle: 2s, deadline: 1m0s}",
		`command: ["./hello", "--listen", "127.0.0.1:${PORT_HTTP}", "--exit-at-once"]`,
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("the spec has no %q:\n%s", want, content)
		}
	}
	found := regexp.MustCompile(`url: "file://(\S+)", sha256: (\S+)}`).FindStringSubmatch(string(content))
	if found == nil {
		t.Fatalf("the spec fetches nothing:\n%s", content)
	}
	if got := runArchived(t, found[1], found[2]); got != "hello: told to exit at once\n" {
		t.Errorf("the program in the archive wrote %q", got)
	}
}

// runArchived runs the only program of an archive that has that digest.
func runArchived(t *testing.T, archive, digest string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	squeezed, err := gzip.NewReader(io.TeeReader(file, sum))
	if err != nil {
		t.Fatal(err)
	}
	entries := tar.NewReader(squeezed)
	if _, err := entries.Next(); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(entries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entries.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the program: %v, want the end of the archive", err)
	}
	if _, err := io.Copy(sum, file); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
		t.Errorf("the archive's digest is %s; the spec says %s", got, digest)
	}
	program := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(program, content, 0o700); err != nil {
		t.Fatal(err)
	}
	output, _ := exec.CommandContext(t.Context(), program, "--exit-at-once").CombinedOutput()
	return string(output)
}
