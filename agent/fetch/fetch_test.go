package fetch_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/core/spec"
)

func newFetcher(tb testing.TB, cfg fetch.Config) *fetch.Fetcher {
	tb.Helper()
	if cfg.CacheDir == "" {
		cfg.CacheDir = tb.TempDir()
	}
	f, err := fetch.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// artifact writes content to a file and returns how to fetch it.

func artifact(tb testing.TB, name string, content []byte) spec.Artifact {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return spec.Artifact{URL: "file://" + file, SHA256: sumOf(content)}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// entry is a file of an archive. The name of a folder ends in a slash.

type entry struct {
	name, body string
	mode       int64
	kind       byte // of tar; 0: by the name
	link       string
}

func tgz(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var packed bytes.Buffer
	zipper := gzip.NewWriter(&packed)
	writer := tar.NewWriter(zipper)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.body)), Typeflag: e.kind, Linkname: e.link}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
			if strings.HasSuffix(e.name, "/") {
				header.Typeflag = tar.TypeDir
			}
		}
		if err := writer.WriteHeader(header); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(writer, e.body); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(writer.Close(), zipper.Close()); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

func zipOf(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var packed bytes.Buffer
	writer := zip.NewWriter(&packed)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		mode := fs.FileMode(e.mode)
		if e.kind == tar.TypeSymlink {
			mode, e.body = fs.ModeSymlink|0o777, e.link
		}
		if e.kind == tar.TypeChar {
			mode |= fs.ModeDevice | fs.ModeCharDevice
		}
		header.SetMode(mode)
		part, err := writer.CreateHeader(header)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(part, e.body); err != nil && !strings.HasSuffix(e.name, "/") {
			tb.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

// tree lists what is below a folder: modes, names, contents and links.

func tree(tb testing.TB, dir string) string {
	tb.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			list = append(list, name+"/")
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			list = append(list, name+"->"+target)
		default:
			content, _ := os.ReadFile(path)
			list = append(list, fmt.Sprintf("%s %o %s", name, info.Mode().Perm(), content))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Join(list, "|")
}

func TestFetch(t *testing.T) {
	t.Parallel()
	packed := []entry{
		{name: "app/", mode: 0o755},
		{name: "app/hello", body: "#!", mode: 0o4755},
		{name: "app/deep/er/conf", body: "a=1", mode: 0o400},
		{name: "app/run", kind: tar.TypeSymlink, link: "deep/../hello"},
	}
	linked := append(packed, entry{name: "app/twin", kind: tar.TypeLink, link: "app/hello"})
	const unpacked = "app/|app/deep/|app/deep/er/|app/deep/er/conf 600 a=1|app/hello 755 #!|app/run->deep/../hello"
	tests := map[string]struct {
		name    string
		content []byte
		ask     spec.Artifact
		want    string
	}{
		"a plain file":              {"hello.sh", []byte("hi"), spec.Artifact{}, "hello.sh 644 hi"},
		"an executable":             {"hello", []byte("hi"), spec.Artifact{Executable: true}, "hello 755 hi"},
		"under another name":        {"hello-v2", []byte("hi"), spec.Artifact{Dest: "bin/hello"}, "bin/|bin/hello 644 hi"},
		"into a folder":             {"hello", []byte("hi"), spec.Artifact{Dest: "bin/"}, "bin/|bin/hello 644 hi"},
		"an archive that stays one": {"app.zip", []byte("hi"), spec.Artifact{}, "app.zip 644 hi"},
		"a tarball":                 {"app.tar.gz", tgz(t, packed...), spec.Artifact{Unpack: true}, unpacked},
		"a tarball with hard links": {"app.tgz", tgz(t, linked...), spec.Artifact{Unpack: true}, unpacked + "|app/twin 755 #!"},
		"a zip":                     {"app.zip", zipOf(t, packed...), spec.Artifact{Unpack: true}, unpacked},
		"an archive into a folder": {
			"a.tgz", tgz(t, entry{name: "./x", body: "1", mode: 0o644}),
			spec.Artifact{Unpack: true, Dest: "a/b"},
			"a/|a/b/|a/b/x 644 1",
		},
		"a name twice: the last one counts": {
			"a.tgz", tgz(t, entry{name: "x", body: "1", mode: 0o644}, entry{name: "x", body: "2", mode: 0o644}),
			spec.Artifact{Unpack: true},
			"x 644 2",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sandbox := t.TempDir()
			from := artifact(t, tc.name, tc.content)
			tc.ask.URL, tc.ask.SHA256 = from.URL, strings.ToUpper(from.SHA256)

			err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), tc.ask, sandbox)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, sandbox); got != tc.want {
				t.Errorf("sandbox holds %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestFetchMergesWithWhatIsThere(t *testing.T) {
	t.Parallel()
	sandbox := t.TempDir()
	f := newFetcher(t, fetch.Config{})
	for _, body := range []string{"old", "new"} {
		ask := artifact(t, "a.tgz", tgz(t,
			entry{name: "d/shared", body: body, mode: 0o644}, entry{name: "d/only-" + body, mode: 0o644}))
		ask.Unpack = true
		if err := f.Fetch(t.Context(), ask, sandbox); err != nil {
			t.Fatal(err)
		}
	}

	want := "d/|d/only-new 644 |d/only-old 644 |d/shared 644 new"
	if got := tree(t, sandbox); got != want {
		t.Errorf("sandbox holds %s, want %s", got, want)
	}
}

// TestEvilArchives shows that nothing leaves the sandbox, and that nothing of a

// refused archive is left in it.

// origin serves files, and counts and spoils as told.

func TestFullDiskAndReadOnlySandbox(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	for name, tc := range map[string]struct {
		flags uintptr
		want  error
	}{
		"full": {0, unix.ENOSPC}, "read-only": {unix.MS_RDONLY, unix.EROFS},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := t.TempDir()
			if err := unix.Mount("tmpfs", sandbox, "tmpfs", tc.flags, "size=64k"); err != nil {
				t.Skipf("mounting a small disk: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(sandbox, unix.MNT_DETACH) })
			ask := artifact(t, "a.tgz", tgz(t, entry{name: "d/x", body: strings.Repeat("x", 1<<20), mode: 0o644}))
			ask.Unpack = true

			err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), ask, sandbox)

			if !errors.Is(err, tc.want) {
				t.Errorf("Fetch = %v, want %v", err, tc.want)
			}
			if got := tree(t, sandbox); got != "" {
				t.Errorf("left over: %s", got)
			}
		})
	}
}

func TestFilesBelongToTheOwnerOfTheSandbox(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving files away needs root")
	}
	sandbox := t.TempDir()
	if err := os.Chown(sandbox, 1234, 1235); err != nil {
		t.Fatal(err)
	}
	ask := artifact(t, "a.tgz", tgz(t, entry{name: "d/x", mode: 0o600}, entry{name: "l", kind: tar.TypeSymlink, link: "d"}))
	ask.Unpack = true
	ask.Dest = "in"

	if err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), ask, sandbox); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"in", "in/d", "in/d/x", "in/l"} {
		var stat unix.Stat_t
		if err := unix.Lstat(filepath.Join(sandbox, name), &stat); err != nil || stat.Uid != 1234 || stat.Gid != 1235 {
			t.Errorf("%s belongs to %d:%d (%v)", name, stat.Uid, stat.Gid, err)
		}
	}
}

// FuzzUnpack shows that no bytes, however packed, leave the sandbox.
