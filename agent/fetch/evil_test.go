package fetch_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/core/spec"
)

func TestEvilArchives(t *testing.T) {
	t.Parallel()
	bomb := strings.Repeat("\x00", 4<<20)
	tests := map[string]struct {
		entries []entry
		want    error
		tarOnly bool
	}{
		"a name that climbs out":      {entries: []entry{{name: "../evil", body: "x"}}, want: fetch.ErrEscapes},
		"a name that climbs out late": {entries: []entry{{name: "a/../../evil", body: "x"}}, want: fetch.ErrEscapes},
		"an absolute name":            {entries: []entry{{name: "/tmp/aloft-evil", body: "x"}}, want: fetch.ErrEscapes},
		"a link that climbs out":      {entries: []entry{{name: "l", kind: tar.TypeSymlink, link: "../.."}}, want: fetch.ErrEscapes},
		"an absolute link":            {entries: []entry{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, want: fetch.ErrEscapes},
		"a file through a link": {entries: []entry{
			{name: "l", kind: tar.TypeSymlink, link: "/etc"}, {name: "l/evil", body: "x"},
		}, want: fetch.ErrEscapes},
		"links that climb out together": {entries: []entry{
			{name: "d/here", kind: tar.TypeSymlink, link: ".."},
			{name: "up", kind: tar.TypeSymlink, link: "d/here/.."},
		}, want: fetch.ErrEscapes},
		"a hard link that climbs out": {entries: []entry{{name: "h", kind: tar.TypeLink, link: "../evil"}}, want: fetch.ErrEscapes, tarOnly: true},
		"an absolute hard link":       {entries: []entry{{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}}, want: fetch.ErrEscapes, tarOnly: true},
		"a hard link over a link": {entries: []entry{
			{name: "l", kind: tar.TypeSymlink, link: "f"}, {name: "h", kind: tar.TypeLink, link: "l"},
		}, want: fetch.ErrArchive, tarOnly: true},
		"a device":            {entries: []entry{{name: "dev", kind: tar.TypeChar}}, want: fetch.ErrArchive},
		"a pipe":              {entries: []entry{{name: "pipe", kind: tar.TypeFifo}}, want: fetch.ErrArchive, tarOnly: true},
		"a file and folder":   {entries: []entry{{name: "x/y", body: "1"}, {name: "x", body: "2"}}, want: fetch.ErrArchive},
		"a bomb":              {entries: []entry{{name: "zeros", body: bomb}}, want: fetch.ErrTooBig},
		"a bomb in pieces":    {entries: []entry{{name: "1", body: bomb[:1<<19]}, {name: "2", body: bomb[:1<<19]}, {name: "3", body: bomb[:1<<19]}}, want: fetch.ErrTooBig},
		"too many files":      {entries: manyEntries(300), want: fetch.ErrTooBig},
		"folders too deep":    {entries: []entry{{name: strings.Repeat("d/", 101) + "f"}}, want: fetch.ErrTooBig},
		"a name too long":     {entries: []entry{{name: strings.Repeat(strings.Repeat("n", 200)+"/", 21) + "f"}}, want: fetch.ErrTooBig},
		"folders without end": {entries: []entry{{name: strings.Repeat("d/", 300) + "f"}}, want: fetch.ErrTooBig},
	}
	for name, tc := range tests {
		for kind, content := range map[string][]byte{"evil.tgz": tgz(t, tc.entries...), "evil.zip": zipOf(t, tc.entries...)} {
			if tc.tarOnly && kind == "evil.zip" {
				continue
			}
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				outer := t.TempDir()
				sandbox := filepath.Join(outer, "sandbox")
				if err := os.Mkdir(sandbox, 0o700); err != nil {
					t.Fatal(err)
				}
				ask := artifact(t, kind, content)
				ask.Unpack = true

				err := newFetcher(t, fetch.Config{SizeMax: 1 << 20, FilesMax: 200}).Fetch(t.Context(), ask, sandbox)

				if !errors.Is(err, tc.want) {
					t.Errorf("Fetch = %v, want %v", err, tc.want)
				}
				if got := tree(t, outer); got != "sandbox/" {
					t.Errorf("left over: %s", got)
				}
			})
		}
	}
}

func manyEntries(n int) []entry {
	var entries []entry
	for i := range n {
		entries = append(entries, entry{name: fmt.Sprint("f", i)})
	}
	return entries
}

func TestALinkInTheSandboxIsNoWayOut(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	sandbox := filepath.Join(outer, "sandbox")
	if err := errors.Join(os.Mkdir(sandbox, 0o700), os.Symlink("..", filepath.Join(sandbox, "up"))); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"up/evil", "up/sub/evil"} {
		ask := artifact(t, "x", []byte("x"))
		ask.Dest = dest

		err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), ask, sandbox)

		if !errors.Is(err, fetch.ErrEscapes) {
			t.Errorf("Fetch to %s = %v, want ErrEscapes", dest, err)
		}
	}
	if got := tree(t, outer); got != "sandbox/|sandbox/up->.." {
		t.Errorf("left: %s", got)
	}
}

func TestBadAsks(t *testing.T) {
	t.Parallel()
	good := artifact(t, "good", []byte("good"))
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		ask  spec.Artifact
		want string
	}{
		"no URL":               {spec.Artifact{}, "scheme"},
		"not a URL":            {spec.Artifact{URL: "http://[::1"}, "not a URL"},
		"a strange scheme":     {spec.Artifact{URL: "ftp://host/x"}, `scheme "ftp"`},
		"a short checksum":     {spec.Artifact{URL: good.URL, SHA256: "abc"}, "64 hex digits"},
		"a dest that climbs":   {spec.Artifact{URL: good.URL, Dest: "../x"}, "out of the sandbox"},
		"an absolute dest":     {spec.Artifact{URL: good.URL, Dest: "/x"}, "out of the sandbox"},
		"no name":              {spec.Artifact{URL: "http://127.0.0.1/"}, "names no file"},
		"not an archive":       {spec.Artifact{URL: good.URL, Unpack: true}, "ends in .tar.gz"},
		"a missing file":       {spec.Artifact{URL: "file:///no/such/file"}, "no such file"},
		"a folder":             {spec.Artifact{URL: "file://" + t.TempDir()}, "no regular file"},
		"a pipe":               {spec.Artifact{URL: "file://" + pipe}, "no regular file"},
		"a device":             {spec.Artifact{URL: "file:///dev/zero"}, "no regular file"},
		"a host in a file URL": {spec.Artifact{URL: "file://opt/x"}, "three slashes"},
		"nobody listens":       {spec.Artifact{URL: "http://secret:word@127.0.0.1:1/x"}, "http://secret:xxxxx@127.0.0.1:1/x: dial tcp 127.0.0.1:1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sandbox := t.TempDir()

			err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), tc.ask, sandbox)

			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Fetch = %v, want %q in it", err, tc.want)
			}
			if got := tree(t, sandbox); got != "" {
				t.Errorf("left over: %s", got)
			}
		})
	}
}

func TestBrokenArchives(t *testing.T) {
	t.Parallel()
	whole := tgz(t, entry{name: "x", body: strings.Repeat("abc", 1000), mode: 0o644})
	wrong := bytes.Clone(whole)
	wrong[len(wrong)-8] ^= 1 // the sum
	stored := storedTgz(t, "the word is yes")
	changed := bytes.Replace(stored, []byte("is yes"), []byte("is no!"), 1)
	changedZip := bytes.Replace(storedZip(t, "the word is yes"), []byte("is yes"), []byte("is no!"), 1)
	for name, content := range map[string][]byte{
		"changed.tgz": changed, "changed.zip": changedZip, "garbage.tgz": append(bytes.Clone(whole), "behind it"...),
		"length.tgz": append(bytes.Clone(whole[:len(whole)-1]), 9),
		"a.tgz":      []byte("no gzip"), "a.zip": []byte("no zip"), "a.tar": bytes.Repeat([]byte("no tar"), 1000),
		"half.tgz": whole[:len(whole)/2], "short.tgz": whole[:len(whole)-4], "wrong.tgz": wrong,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sandbox := t.TempDir()
			ask := artifact(t, name, content)
			ask.Unpack = true

			err := newFetcher(t, fetch.Config{}).Fetch(t.Context(), ask, sandbox)

			if err == nil {
				t.Error("Fetch accepted it")
			}
			if got := tree(t, sandbox); got != "" {
				t.Errorf("left over: %s", got)
			}
		})
	}
}

// storedTgz returns an archive whose text can be changed without any other sign
// of it than its sum.
func storedTgz(t *testing.T, text string) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(tgz(t, entry{name: "x", body: text})))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zipper, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(zipper, unzipped)
	if err := errors.Join(err, zipper.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func storedZip(t *testing.T, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := zip.NewWriter(&packed)
	part, err := writer.CreateHeader(&zip.FileHeader{Name: "x", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(part, text)
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestWhatFollowsTheLastFileIsBounded: it is read for the sum behind it.
func TestWhatFollowsTheLastFileIsBounded(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zipper := gzip.NewWriter(&packed)
	_, err := zipper.Write(make([]byte, 4<<20)) // zeros end a tar
	if err := errors.Join(err, zipper.Close()); err != nil {
		t.Fatal(err)
	}
	ask := artifact(t, "x.tgz", packed.Bytes())
	ask.Unpack = true

	err = newFetcher(t, fetch.Config{SizeMax: 1 << 20, FilesMax: 100}).Fetch(t.Context(), ask, t.TempDir())

	if !errors.Is(err, fetch.ErrTooBig) {
		t.Errorf("Fetch = %v, want ErrTooBig", err)
	}
}

// TestUnpackingEndsWithItsContext: between any two files of an archive that was
// read at once.
func TestUnpackingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var entries []entry
	for i := range 50 {
		entries = append(entries, entry{name: fmt.Sprintf("d%d/", i)})
	}
	for kind, content := range map[string][]byte{"x.tgz": tgz(t, entries...), "x.zip": zipOf(t, entries...)} {
		ask := artifact(t, kind, content)
		ask.Unpack = true
		f := newFetcher(t, fetch.Config{})
		for looks := 1; ; looks++ {
			sandbox := t.TempDir()
			err := f.Fetch(&shortContext{Context: t.Context(), looks: looks}, ask, sandbox)
			if err == nil {
				if looks < len(entries) {
					t.Errorf("%s: it looked %d times", kind, looks)
				}
				break
			}
			if got := tree(t, sandbox); !errors.Is(err, context.Canceled) || got != "" {
				t.Fatalf("%s: Fetch = %v, left over: %s", kind, err, got)
			}
		}
	}
}

// shortContext is over when it was looked at so many times.
type shortContext struct {
	context.Context //nolint:containedctx // it is one
	looks           int
}

func (c *shortContext) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

func FuzzUnpack(f *testing.F) {
	f.Add(tgz(f, entry{name: "a/b", body: "x"}, entry{name: "l", kind: tar.TypeSymlink, link: "a"}), "x.tgz")
	f.Add(zipOf(f, entry{name: "a/b", body: "x"}, entry{name: "l", kind: tar.TypeSymlink, link: "../.."}), "x.zip")
	f.Add([]byte("PK"), "x.zip")
	f.Fuzz(func(t *testing.T, content []byte, name string) {
		if name != "x.tgz" && name != "x.zip" && name != "x.tar" {
			t.Skip()
		}
		outer := t.TempDir()
		sandbox := filepath.Join(outer, "sandbox")
		if err := os.Mkdir(sandbox, 0o700); err != nil {
			t.Fatal(err)
		}
		ask := artifact(t, name, content)
		ask.Unpack = true

		err := newFetcher(t, fetch.Config{SizeMax: 1 << 20, FilesMax: 100}).Fetch(t.Context(), ask, sandbox)

		if got := tree(t, outer); err != nil && got != "sandbox/" || !strings.HasPrefix(got, "sandbox/") {
			t.Errorf("after %v: %s", err, got)
		}
	})
}
