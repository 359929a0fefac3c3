package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/agent/logs"
)

func open(tb testing.TB, cfg logs.Config) *logs.Writer {
	tb.Helper()
	w, err := logs.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.Close() })
	return w
}

// files returns a stream's files, oldest first.
func files(t interface{ Fatal(...any) }, dir string) []string {
	var found []string
	for n := 0; ; n++ {
		content, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("stdout.%d.log", n)))
		if os.IsNotExist(err) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append([]string{string(content)}, found...)
	}
}

func TestOpenRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg  logs.Config
		want string
	}{
		"no folder":               {logs.Config{Name: "stdout"}, "needs a folder"},
		"a name that climbs out":  {logs.Config{Dir: "d", Name: "../stdout"}, "plain file name"},
		"a file too small":        {logs.Config{Dir: "d", Name: "stdout", SizeMax: 10}, "at least 1024"},
		"no files":                {logs.Config{Dir: "d", Name: "stdout", FilesMax: -1}, "at least 1"},
		"a file where the folder": {logs.Config{Dir: blocked, Name: "stdout"}, "open log"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := logs.Open(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open = %v, want %q in it", err, tc.want)
			}
		})
	}
}

// TestFilesAreTheEndOfTheInput draws any output in any pieces: read in order,
// the files are its end, each within its size, and lines that could be kept
// whole are.
func TestFilesAreTheEndOfTheInput(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	drawn := 0
	rapid.Check(t, func(t *rapid.T) {
		dir := filepath.Join(root, strconv.Itoa(drawn))
		drawn++
		cfg := logs.Config{
			Dir: dir, Name: "stdout",
			SizeMax:  rapid.Int64Range(1024, 3000).Draw(t, "size"),
			FilesMax: rapid.IntRange(1, 4).Draw(t, "files"),
		}
		lineLen := rapid.OneOf(rapid.IntRange(0, 120), rapid.IntRange(0, 4000))
		var input strings.Builder
		for _, n := range rapid.SliceOfN(lineLen, 0, 60).Draw(t, "lines") {
			input.WriteString(strings.Repeat("x", n) + "\n")
		}
		w, err := logs.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for rest := input.String(); rest != ""; {
			n := min(len(rest), rapid.IntRange(1, 2000).Draw(t, "piece"))
			if wrote, err := w.Write([]byte(rest[:n])); wrote != n || err != nil {
				t.Fatalf("Write = %d, %v", wrote, err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}

		kept := files(t, dir)

		if joined := strings.Join(kept, ""); !strings.HasSuffix(input.String(), joined) {
			t.Fatalf("the files are not the end of the input: %q", joined)
		}
		if len(kept) > cfg.FilesMax {
			t.Fatalf("%d files, at most %d wanted", len(kept), cfg.FilesMax)
		}
		checkFiles(t, kept, cfg.SizeMax)
		if kept, total := int64(len(strings.Join(kept, ""))), int64(input.Len()); kept < min(total, cfg.SizeMax/8*7*int64(cfg.FilesMax-1)) {
			t.Fatalf("kept %d of %d bytes", kept, total)
		}
	})
}

// TestALongLineDoesNotEndAFileEarly: what is kept is bounded by size alone, however
// short and long lines follow each other.
func TestALongLineDoesNotEndAFileEarly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, logs.Config{Dir: dir, Name: "stdout", SizeMax: 1024, FilesMax: 3})
	for range 20 {
		_, _ = w.Write([]byte(strings.Repeat("x", 127) + "\n" + strings.Repeat("y", 1000) + "\n"))
	}
	_ = w.Close()

	if kept := len(strings.Join(files(t, dir), "")); kept < 2*1024*7/8 {
		t.Errorf("%d bytes are kept of three files of 1024", kept)
	}
}

func checkFiles(t *rapid.T, kept []string, sizeMax int64) {
	for i, content := range kept {
		if int64(len(content)) > sizeMax {
			t.Fatalf("file %d has %d bytes, at most %d wanted", i, len(content), sizeMax)
		}
		if i == len(kept)-1 || strings.HasSuffix(content, "\n") {
			continue
		}
		split := content[strings.LastIndexByte(content, '\n')+1:] + kept[i+1][:max(0, strings.IndexByte(kept[i+1], '\n'))]
		if int64(len(split)) < sizeMax/8 {
			t.Fatalf("a line of %d bytes was split; SizeMax is %d", len(split), sizeMax)
		}
	}
}

func TestAWriterGoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"one\n", "two\n"} {
		w := open(t, logs.Config{Dir: dir, Name: "stdout"})
		_, _ = w.Write([]byte(text))
		_ = w.Close()
	}

	got := files(t, dir)

	if len(got) != 1 || got[0] != "one\ntwo\n" {
		t.Errorf("files = %q", got)
	}
}

// TestASilentStreamHasNoFile: there is a folder with a file from the first byte on.
func TestASilentStreamHasNoFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	w := open(t, logs.Config{Dir: dir, Name: "stdout"})

	_, err := os.Lstat(dir)
	lines, tailed := logs.Tail(dir, "stdout", 10)
	if !errors.Is(err, fs.ErrNotExist) || len(lines) > 0 || tailed != nil {
		t.Errorf("a silent stream has a folder: %v, and lines %q, %v", err, lines, tailed)
	}

	_, _ = w.Write([]byte("word")) // never fails

	if got := files(t, dir); len(got) != 1 || got[0] != "word" {
		t.Errorf("then its files have %q", got)
	}
}

func TestAFullDeviceDropsAndCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, "stdout.0.log")); err != nil {
		t.Fatal(err)
	}
	w := open(t, logs.Config{Dir: dir, Name: "stdout"})

	n, err := w.Write([]byte("lost\n"))

	if n != 5 || err != nil {
		t.Errorf("Write = %d, %v; a task must not notice", n, err)
	}
	if w.Dropped() != 5 {
		t.Errorf("Dropped = %d, want 5", w.Dropped())
	}
}

func TestAFullDiskLeavesAMarkedGap(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, logs.Config{Dir: filepath.Join(disk, "logs"), Name: "stdout"})
	line := []byte(strings.Repeat("y", 1023) + "\n")
	for range 32 {
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	lost := w.Dropped()
	if lost == 0 {
		t.Fatal("32 KiB went onto 16 KiB")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}

	_, _ = w.Write([]byte("after\n"))

	tail, err := logs.Tail(filepath.Join(disk, "logs"), "stdout", 2)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("[aloft: %d bytes were lost here; the log could not be written]", lost)
	if len(tail) != 2 || tail[0] != want || tail[1] != "after" {
		t.Errorf("Tail = %q, want %q and the line after", tail, want)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("z", logs.TailLineMax+100)
	tests := map[string]struct {
		files []string // oldest first
		lines int
		want  []string
	}{
		"no such stream":                 {nil, 3, nil},
		"an empty stream":                {[]string{""}, 3, nil},
		"fewer lines than wanted":        {[]string{"a\nb\n"}, 3, []string{"a", "b"}},
		"more lines than wanted":         {[]string{"a\nb\nc\n"}, 2, []string{"b", "c"}},
		"a line that has not ended":      {[]string{"a\nb\nc"}, 2, []string{"b", "c"}},
		"empty lines count":              {[]string{"a\n\n\n"}, 2, []string{"", ""}},
		"none wanted":                    {[]string{"a\nb\n"}, 0, nil},
		"lines in several files":         {[]string{"a\nb\n", "c\n", "d\n"}, 3, []string{"b", "c", "d"}},
		"a file that was just begun":     {[]string{"a\nb\n", ""}, 1, []string{"b"}},
		"a line split over two files":    {[]string{"a\nbb", "bb\nc\n"}, 2, []string{"bbbb", "c"}},
		"a long line is clipped":         {[]string{long + "\nend\n"}, 2, []string{long[:logs.TailLineMax], "end"}},
		"the wanted lines end at a file": {[]string{"a\n", "b\nc\n"}, 2, []string{"b", "c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for i, content := range tc.files {
				path := filepath.Join(dir, fmt.Sprintf("stdout.%d.log", len(tc.files)-1-i))
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			got, err := logs.Tail(dir, "stdout", tc.lines)

			if err != nil || strings.Join(got, "|") != strings.Join(tc.want, "|") || len(got) != len(tc.want) {
				t.Errorf("Tail = %.60q, %v; want %.60q", got, err, tc.want)
			}
		})
	}
}

// TestTailIsTheEndOfTheLines compares Tail with splitting everything.
func TestTailIsTheEndOfTheLines(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	drawn := 0
	rapid.Check(t, func(t *rapid.T) {
		dir := filepath.Join(root, strconv.Itoa(drawn))
		drawn++
		w, err := logs.Open(logs.Config{Dir: dir, Name: "stdout", SizeMax: 1024, FilesMax: 20})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 300), 1, 40).Draw(t, "lines") {
			all = append(all, fmt.Sprint(i, strings.Repeat("t", n)))
			_, _ = w.Write([]byte(all[i] + "\n"))
		}
		_ = w.Close()
		lines := rapid.IntRange(0, 50).Draw(t, "wanted")

		got, err := logs.Tail(dir, "stdout", lines)

		want := all[max(0, len(all)-lines):]
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("Tail(%d) = %q, %v; want %q", lines, got, err, want)
		}
	})
}

// sink collects what Follow copies, and tells when it has seen a text.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := bytes.Contains(s.text.Bytes(), []byte(s.want))
	s.text.Write(p)
	if !before && bytes.Contains(s.text.Bytes(), []byte(s.want)) {
		close(s.seen)
	}
	return len(p), nil
}

func TestFollowSeesAllAcrossRotations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, logs.Config{Dir: dir, Name: "stdout", SizeMax: 1024, FilesMax: 1000})
	_, _ = w.Write([]byte("skipped\nfirst\n"))
	var want strings.Builder
	want.WriteString("first\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got := &sink{want: "line 4999\n", seen: make(chan struct{})}
	var following sync.WaitGroup
	var followed error
	following.Go(func() { followed = logs.Follow(ctx, dir, "stdout", 1, got) })
	waitFor(t, func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return got.text.Len() > 0
	})

	for i := range 5000 { // about 60 rotations as fast as they go
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		_, _ = w.Write([]byte(line))
	}

	select {
	case <-got.seen:
	case <-time.After(20 * time.Second):
		t.Error("the last line was not seen")
	}
	_, _ = w.Write([]byte("at the end\n"))
	want.WriteString("at the end\n")
	stop()
	following.Wait()
	if followed != nil {
		t.Errorf("Follow = %v", followed)
	}
	if got.text.String() != want.String() {
		t.Errorf("followed %d bytes, want the %d that were written", got.text.Len(), want.Len())
	}
}

func TestFollowWaitsForTheStreamToBegin(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got := &sink{want: "hello\n", seen: make(chan struct{})}
	var following sync.WaitGroup
	defer following.Wait()
	defer stop()
	following.Go(func() { _ = logs.Follow(ctx, dir, "stdout", -1, got) })

	w := open(t, logs.Config{Dir: dir, Name: "stdout"})
	_, _ = w.Write([]byte("hello\n"))

	select {
	case <-got.seen:
	case <-time.After(20 * time.Second):
		t.Error("the line was not seen")
	}
}

func waitFor(t *testing.T, met func() bool) {
	t.Helper()
	due := time.NewTicker(5 * time.Millisecond)
	defer due.Stop()
	for end := time.Now().Add(20 * time.Second); !met(); <-due.C {
		if time.Now().After(end) {
			t.Fatal("waited for too long")
		}
	}
}
