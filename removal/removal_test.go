package removal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/removal"
)

// tree makes a folder with a file, a folder in it, and a link to somewhere else, where there is a
// file, too.
func tree(t *testing.T) (dir, elsewhere string) {
	t.Helper()
	dir, elsewhere = filepath.Join(t.TempDir(), "a tree"), t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "inner"), 0o755),
		os.WriteFile(filepath.Join(dir, "inner", "file"), nil, 0o600),
		os.WriteFile(filepath.Join(elsewhere, "kept"), nil, 0o600),
		os.Symlink(elsewhere, filepath.Join(dir, "link")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir, elsewhere
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestAll(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(dir, elsewhere string) (string, error){
		"a folder":              func(dir, _ string) (string, error) { return dir, nil },
		"a file":                func(dir, _ string) (string, error) { return filepath.Join(dir, "inner", "file"), nil },
		"a link":                func(dir, _ string) (string, error) { return filepath.Join(dir, "link"), nil },
		"nothing":               func(dir, _ string) (string, error) { return filepath.Join(dir, "none"), nil },
		"nothing in a folder":   func(dir, _ string) (string, error) { return filepath.Join(dir, "none", "none"), nil },
		"what is behind a link": func(dir, _ string) (string, error) { return filepath.Join(dir, "link", "none"), nil },
		"a folder behind a link": func(dir, elsewhere string) (string, error) {
			return filepath.Join(dir, "link", "empty"), os.Mkdir(filepath.Join(elsewhere, "empty"), 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, elsewhere := tree(t)
			path, err := of(dir, elsewhere)
			if err != nil {
				t.Fatal(err)
			}

			err = removal.All(path)

			if err != nil || exists(t, path) {
				t.Errorf("All = %v; it is there: %v", err, exists(t, path))
			}
			if !exists(t, filepath.Join(elsewhere, "kept")) {
				t.Error("what a link leads to is gone")
			}
		})
	}
}

// TestWhatIsMountedStays, and all that is around it.
func TestWhatIsMountedStays(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{"the folder itself": ".", "a folder in it": "inner", "a file in it": "inner/file"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, elsewhere := tree(t)
			what := elsewhere
			if strings.HasSuffix(at, "file") {
				what = filepath.Join(elsewhere, "kept")
			}
			neighbour := filepath.Join(filepath.Dir(dir), "a tree of its own")
			if err := os.Mkdir(neighbour, 0o755); err != nil {
				t.Fatal(err)
			}
			unmount := bind(t, what, filepath.Join(dir, at))
			byLink := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(filepath.Dir(dir), byLink); err != nil {
				t.Fatal(err)
			}

			for _, path := range []string{dir, filepath.Join(byLink, filepath.Base(dir))} {
				if err := removal.All(path); !errors.Is(err, removal.ErrMounted) || !strings.Contains(err.Error(), filepath.Join(dir, at)) {
					t.Errorf("All(%s) = %v", path, err)
				}
			}

			if !exists(t, filepath.Join(elsewhere, "kept")) {
				t.Error("what is mounted is gone")
			}
			var sweep removal.Sweep
			for range 2 {
				if err := sweep.All(dir); !errors.Is(err, removal.ErrMounted) {
					t.Errorf("Sweep.All = %v", err)
				}
			}
			if err := sweep.All(neighbour); err != nil || exists(t, neighbour) {
				t.Errorf("beside it, Sweep.All = %v", err)
			}
			unmount()
			if err := removal.All(dir); err != nil || exists(t, dir) {
				t.Errorf("unmounted, All = %v", err)
			}
		})
	}
}
