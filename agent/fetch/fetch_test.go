package fetch_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

func TestAWrongChecksumIsRefused(t *testing.T) {
	t.Parallel()
	sandbox, kept := t.TempDir(), t.TempDir()
	ask := artifact(t, "x", []byte("what came"))
	ask.SHA256 = sumOf([]byte("what was wanted"))

	err := newFetcher(t, fetch.Config{CacheDir: kept}).Fetch(t.Context(), ask, sandbox)

	wrong, ok := errors.AsType[*fetch.ChecksumError](err)
	if !ok || wrong.Want != ask.SHA256 || wrong.Got != sumOf([]byte("what came")) {
		t.Errorf("Fetch = %v, want both checksums", err)
	}
	if got := tree(t, sandbox) + tree(t, kept); got != "growing/|sha256/" {
		t.Errorf("left over: %s", got)
	}
}

func TestBrokenArchives(t *testing.T) {
	t.Parallel()
	whole := tgz(t, entry{name: "x", body: strings.Repeat("abc", 1000), mode: 0o644})
	for name, content := range map[string][]byte{
		"a.tgz": []byte("no gzip"), "a.zip": []byte("no zip"), "a.tar": bytes.Repeat([]byte("no tar"), 1000),
		"half.tgz": whole[:len(whole)/2],
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

// origin serves files, and counts and spoils as told.
type origin struct {
	*httptest.Server
	asked atomic.Int64
}

func serve(t *testing.T, answer http.HandlerFunc) *origin {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/app", http.StatusFound)
		case "/app":
			_, _ = io.WriteString(w, "app")
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "cut")
		case "/big":
			w.Header().Set("Content-Length", "100000")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		case "/stuck":
			_, _ = io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	})
	tests := map[string]struct {
		path, want string
		is         error
	}{
		"a file":                       {path: "/app"},
		"a redirect":                   {path: "/moved"},
		"not there":                    {path: "/none", want: "404 Not Found"},
		"cut short":                    {path: "/cut", want: "unexpected EOF", is: io.ErrUnexpectedEOF},
		"too big by its own word":      {path: "/big", want: "100000 bytes", is: fetch.ErrTooBig},
		"too big without saying":       {path: "/endless", is: fetch.ErrTooBig},
		"a server that stops speaking": {path: "/stuck", want: "no byte came for 200ms"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sandbox, kept := t.TempDir(), t.TempDir()
			f := newFetcher(t, fetch.Config{CacheDir: kept, SizeMax: 50_000, StallMax: 200 * time.Millisecond})

			err := f.Fetch(t.Context(), spec.Artifact{URL: o.URL + tc.path, Dest: "out"}, sandbox)

			if good := tc.want == "" && tc.is == nil; good {
				if got := tree(t, sandbox); err != nil || got != "out 644 app" {
					t.Errorf("Fetch = %v, sandbox holds %s", err, got)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("Fetch = %v, want %q, %v", err, tc.want, tc.is)
			}
			if got := tree(t, sandbox) + tree(t, kept); got != "growing/|sha256/" {
				t.Errorf("left over: %s", got)
			}
		})
	}
}

func TestTheContextEndsAFetch(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		close(begun)
		<-r.Context().Done()
	})
	sandbox := t.TempDir()
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the task was stopped")
	go func() { <-begun; stop(why) }()

	err := newFetcher(t, fetch.Config{}).Fetch(ctx, spec.Artifact{URL: o.URL + "/x", SHA256: sumOf(nil)}, sandbox)

	if !errors.Is(err, why) {
		t.Errorf("Fetch = %v, want the context's cause", err)
	}
	if got := tree(t, sandbox); got != "" {
		t.Errorf("left over: %s", got)
	}
}

func TestOneChecksumIsDownloadedOnce(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("shared"), 10_000)
	o := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	f := newFetcher(t, fetch.Config{})
	var fetching sync.WaitGroup
	for range 16 {
		sandbox := t.TempDir()
		fetching.Go(func() {
			if err := f.Fetch(t.Context(), spec.Artifact{URL: o.URL + "/x", SHA256: sumOf(content)}, sandbox); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(filepath.Join(sandbox, "x")); err != nil || !bytes.Equal(got, content) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	fetching.Wait()

	if n := o.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	for range 2 {
		if err := f.Fetch(t.Context(), spec.Artifact{URL: o.URL + "/x"}, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if n := o.asked.Load(); n != 3 {
		t.Errorf("without a checksum: asked %d times in all, want 3", n)
	}
}

func TestAnotherWaiterTakesOverADownload(t *testing.T) {
	t.Parallel()
	content := []byte("content")
	begun := make(chan struct{}, 1)
	var n atomic.Int64
	o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 1 {
			w.(http.Flusher).Flush()
			begun <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(content)
	})
	f := newFetcher(t, fetch.Config{})
	ask := spec.Artifact{URL: o.URL + "/x", SHA256: sumOf(content)}
	ctx, stop := context.WithCancel(t.Context())
	var fetching sync.WaitGroup
	fetching.Go(func() {
		if err := f.Fetch(ctx, ask, t.TempDir()); !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
	})
	<-begun
	fetching.Go(func() {
		if err := f.Fetch(t.Context(), ask, t.TempDir()); err != nil {
			t.Errorf("the second: %v", err)
		}
	})
	stop()
	fetching.Wait()
}

func TestTheCacheIsBoundedAndChecked(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	f := newFetcher(t, fetch.Config{CacheDir: kept, CacheSizeMax: 2500})
	var asks []spec.Artifact
	for i := range 3 {
		ask := artifact(t, "x", bytes.Repeat([]byte{byte('a' + i)}, 1000))
		asks = append(asks, ask)
		if err := f.Fetch(t.Context(), ask, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(kept, "sha256", ask.SHA256), old, old); err != nil {
			t.Fatal(err)
		}
	}
	in := func(ask spec.Artifact) bool {
		_, err := os.Stat(filepath.Join(kept, "sha256", ask.SHA256))
		return err == nil
	}
	if in(asks[0]) || !in(asks[1]) || !in(asks[2]) {
		t.Errorf("kept %v %v %v, want the two newest", in(asks[0]), in(asks[1]), in(asks[2]))
	}
	damaged := filepath.Join(kept, "sha256", asks[2].SHA256)
	if err := os.WriteFile(damaged, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox := t.TempDir()

	err := f.Fetch(t.Context(), asks[2], sandbox)

	if got := tree(t, sandbox); err != nil || got != "x 644 "+strings.Repeat("c", 1000) {
		t.Errorf("Fetch = %v, sandbox holds %.20s", err, got)
	}
}

func TestAnInterruptedDownloadIsCleared(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	newFetcher(t, fetch.Config{CacheDir: kept})
	if err := os.WriteFile(filepath.Join(kept, "growing", "half"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}

	newFetcher(t, fetch.Config{CacheDir: kept})

	if got := tree(t, kept); got != "growing/|sha256/" {
		t.Errorf("left over: %s", got)
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]fetch.Config{
		"no folder": {}, "a bound below zero": {CacheDir: t.TempDir(), SizeMax: -1}, "a file in the way": {CacheDir: blocked},
	} {
		if _, err := fetch.New(cfg); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

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
