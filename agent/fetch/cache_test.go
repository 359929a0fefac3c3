package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
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

func TestACacheThatIsChangedByHand(t *testing.T) {
	t.Parallel()
	ask := artifact(t, "x", []byte("content"))
	for name, change := range map[string]func(kept, entry string) error{
		"removed":    func(kept, _ string) error { return os.RemoveAll(kept) },
		"half of it": func(kept, _ string) error { return os.RemoveAll(filepath.Join(kept, "sha256")) },
		"a folder in it": func(_, entry string) error {
			return errors.Join(os.Remove(entry), os.MkdirAll(filepath.Join(entry, "sub"), 0o700))
		},
		"a link in it":      func(_, entry string) error { return errors.Join(os.Remove(entry), os.Symlink("/dev/zero", entry)) },
		"a pipe in it":      func(_, entry string) error { return errors.Join(os.Remove(entry), unix.Mkfifo(entry, 0o600)) },
		"a folder too many": func(kept, _ string) error { return os.MkdirAll(filepath.Join(kept, "sha256", "mine", "sub"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := filepath.Join(t.TempDir(), "cache")
			entry := filepath.Join(kept, "sha256", ask.SHA256)
			f := newFetcher(t, fetch.Config{CacheDir: kept, CacheSizeMax: 1000})
			err := errors.Join(f.Fetch(t.Context(), ask, t.TempDir()), change(kept, entry))
			other := artifact(t, "y", []byte("another"))

			sandbox := t.TempDir()
			err = errors.Join(err, f.Fetch(t.Context(), ask, sandbox), f.Fetch(t.Context(), other, sandbox))

			if got := tree(t, sandbox); err != nil || got != "x 644 content|y 644 another" {
				t.Errorf("Fetch = %v, sandbox holds %s", err, got)
			}
			if got, err := os.ReadFile(entry); string(got) != "content" {
				t.Errorf("kept is %q, %v", got, err)
			}
		})
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
