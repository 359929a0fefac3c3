package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/store"
)

func TestFolderIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "var", "aloft")
	open(t, store.Config{DataDir: dir})

	err := filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLockedFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder := open(t, store.Config{DataDir: dir})

	_, err := store.Open(t.Context(), store.Config{DataDir: dir})

	wantWords(t, err, store.ErrLocked, dir, strconv.Itoa(os.Getpid()))
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, store.Config{DataDir: dir})
}

func TestFolderIsRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(t *testing.T, dir string) (broken string)
		want    error // nil: any
		words   string
	}{
		"of a newer version": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				write(t, filepath.Join(dir, "VERSION"), "3\n")
				return dir
			},
			want:  store.ErrNewerData,
			words: "format 3, known up to 2",
		},
		"with a version that is no number": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				write(t, filepath.Join(dir, "VERSION"), "one\n")
				return dir
			},
			words: `"one" is no number of a data format`,
		},
		"that is a file": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				write(t, filepath.Join(dir, "file"), "")
				return filepath.Join(dir, "file")
			},
			words: "cannot be made",
		},
		"whose lock is a folder": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				if err := os.Mkdir(filepath.Join(dir, "LOCK"), 0o700); err != nil {
					t.Fatal(err)
				}
				return dir
			},
			words: "not writable",
		},
		"that is not writable": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				if os.Getuid() == 0 {
					t.Skip("root may write everywhere")
				}
				if err := os.Chmod(dir, 0o500); err != nil {
					t.Fatal(err)
				}
				return dir
			},
			want:  fs.ErrPermission,
			words: "not writable",
		},
		"whose member is damaged": {
			prepare: func(t *testing.T, dir string) string {
				t.Helper()
				write(t, filepath.Join(dir, "etcd"), "")
				return dir
			},
			words: "start etcd",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tc.prepare(t, t.TempDir())

			s, err := store.Open(t.Context(), store.Config{DataDir: dir})

			if err == nil {
				t.Fatal("opened", s.Close())
			}
			wantWords(t, err, tc.want, dir, tc.words)
			if _, err := os.Stat(filepath.Join(dir, "etcd", "member")); err == nil {
				t.Error("a folder that is refused was written to")
			}
		})
	}
}

func TestFolderIsFreeAfterRefusal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "VERSION"), "3\n")
	if _, err := store.Open(t.Context(), store.Config{DataDir: dir}); err == nil {
		t.Fatal("opened")
	}

	write(t, filepath.Join(dir, "VERSION"), "1\n")

	open(t, store.Config{DataDir: dir})
}

// wantWords checks that err wraps want, if that is not nil, and says all words.
func wantWords(t *testing.T, err, want error, words ...string) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Fatalf("error = %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
