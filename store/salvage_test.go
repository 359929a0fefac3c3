package store_test

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/aloft-run/aloft/store"
)

// TestSalvage loses two of three members for good, and makes a cluster of what
// the third holds.
func TestSalvage(t *testing.T) {
	t.Parallel()
	three := startThreeHere(t)
	term := campaign(t, three.members["m1"], "m1")
	put(t, term, "a", "1")
	_, err := store.Salvage(t.Context(), store.Config{DataDir: three.configs["m3"].DataDir}, io.Discard)
	wantWords(t, err, store.ErrLocked, "salvage")
	put(t, campaignAfter(t, three, term), "b", "2") // which m3 has heard of: it leads
	for _, name := range []string{"m1", "m2", "m3"} {
		three.close(t, name)
	}
	dir := three.configs["m3"].DataDir
	before := files(t, dir)
	var saved bytes.Buffer

	revision, err := store.Salvage(t.Context(), store.Config{DataDir: dir}, &saved)

	if err != nil || revision == 0 {
		t.Fatalf("Salvage = %d, %v", revision, err)
	}
	if after := files(t, dir); after != before {
		t.Errorf("the folder held\n%s\nand holds\n%s", before, after)
	}
	restored := store.Config{DataDir: t.TempDir()}
	if _, err := store.Restore(t.Context(), restored, &saved); err != nil {
		t.Fatal(err)
	}
	next := campaign(t, open(t, restored), "next")
	if got := load(t, next); got != "a=1 b=2 " {
		t.Errorf("salvaged %q", got)
	}
	if next.Epoch() <= term.Epoch() || store.Restores(next.Epoch()) != 1 || store.Restores(term.Epoch()) != 0 {
		t.Errorf("epoch %d follows %d", next.Epoch(), term.Epoch())
	}
}

func TestSalvageIsRefused(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()

	_, err := store.Salvage(t.Context(), store.Config{DataDir: empty}, io.Discard)

	wantWords(t, err, nil, empty, "holds no member")
	if left := files(t, empty); left != "" {
		t.Errorf("it left %s", left)
	}
}

// campaignAfter has the third member lead.
func campaignAfter(t *testing.T, three *threeHere, term *store.Term) *store.Term {
	t.Helper()
	if err := term.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	return campaign(t, three.members["m3"], "m3")
}

// files lists what a folder holds, with the sizes of files.
func files(t *testing.T, dir string) string {
	t.Helper()
	var text bytes.Buffer
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		text.WriteString(path)
		if !info.IsDir() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text.Write(withSum(content)[len(content):])
		}
		text.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestInspect(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{DataDir: t.TempDir()})
	term := campaign(t, s, "one")
	put(t, term, "tasks/web-1-1", "1")
	put(t, term, "tasks/web-1-2", "1")
	put(t, term, "tasks/web-1-2", "2")
	put(t, term, "services/web", "1")
	put(t, term, "services/gone", "1")
	if _, err := term.Commit(t.Context(), []store.Op{{Key: "services/gone", Delete: true}}); err != nil {
		t.Fatal(err)
	}
	saved := snapshot(t, s)
	path := filepath.Join(t.TempDir(), "saved")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(saved)

	found, err := store.Inspect(t.Context(), path, "")

	if err != nil || found.Revision < commitNothing(t, term) || found.Keys["tasks"] != 2 || found.Keys["services"] != 1 || len(found.Keys) != 2 {
		t.Errorf("Inspect = %+v, %v", found, err)
	}
	pairs := make(map[string]string)
	err = store.ReadSnapshot(t.Context(), path, "", func(key string, value []byte) error {
		pairs[key] = string(value)
		return nil
	})
	if want := map[string]string{"tasks/web-1-1": "1", "tasks/web-1-2": "2", "services/web": "1"}; err != nil || !maps.Equal(pairs, want) {
		t.Errorf("ReadSnapshot = %v, %v; want %v", pairs, err, want)
	}
	_, err = store.Inspect(t.Context(), path, "/other/")
	wantWords(t, err, nil, path, "no state of aloft below /other/")
	write(saved[:len(saved)-1])
	_, err = store.Inspect(t.Context(), path, "")
	wantWords(t, err, store.ErrDamaged, path)
	err = store.ReadSnapshot(t.Context(), path, "", func(string, []byte) error { panic("of a damaged snapshot nothing is read") })
	wantWords(t, err, store.ErrDamaged, path)
	write(withSum([]byte("anything")))
	_, err = store.Inspect(t.Context(), path, "")
	wantWords(t, err, nil, path, "not of etcd")
}
