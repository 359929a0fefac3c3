package router_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// TestARestartWithoutMastersServesOn: the second router has no masters at all.
func TestARestartWithoutMastersServesOn(t *testing.T) {
	t.Parallel()
	cfg := router.Config{StateFile: filepath.Join(t.TempDir(), "table.json")}
	first := start(t, cfg)
	service := hello(backend(t, "t1", named("t1")))
	for range 50 { // the newest of many tables is the one that is kept
		first.apply(t, hello())
	}
	first.apply(t, service)
	if err := first.stop(); err == nil {
		t.Fatal("Run returned nothing")
	}

	cfg.KeptWait = time.Millisecond // its masters say nothing
	second := start(t, cfg)

	if got := second.get(t, newClient(t), "/"); got.body != "t1" {
		t.Errorf("answer %d %q, want t1", got.status, got.body)
	}
	if version := second.Status().Version; version != (route.Version{Epoch: 1, Seq: 51}) {
		t.Errorf("version %s, want 1.51", version)
	}
	second.masters.await(t, 0, func(c route.Confirmation) bool { return c.Version.Seq == 51 })
	files, err := os.ReadDir(filepath.Dir(cfg.StateFile))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// TestAStateFileThatCannotBeUsedIsPutAside: the router starts, serves nothing
// until a table comes, and destroys nothing.
func TestAStateFileThatCannotBeUsedIsPutAside(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"empty":            "",
		"cut off":          `{"format":1,"table":{"version":{"epo`,
		"garbage":          "\x00\x01\x02",
		"of a newer form":  `{"format":2,"table":{}}`,
		"without a form":   `{"table":{}}`,
		"of a wrong table": `{"format":1,"table":{"services":[{"name":"a","rules":[{"host":"NO"}]}]}}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "table.json")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}

			r := start(t, router.Config{StateFile: file})

			if got := r.get(t, newClient(t), "/"); got.status != 404 {
				t.Errorf("answer %d, want 404", got.status)
			}
			aside, err := os.ReadFile(file + ".unusable")
			if err != nil || string(aside) != text {
				t.Errorf("put aside: %q, %v", aside, err)
			}
			r.apply(t, hello(backend(t, "t1", named("t1"))))
			if got := r.get(t, newClient(t), "/"); got.body != "t1" {
				t.Errorf("answer %q, want t1", got.body)
			}
			eventually(t, "the new table is kept", func() bool {
				text, err := os.ReadFile(file)
				return err == nil && json.Valid(text) && strings.Contains(string(text), `"t1"`)
			})
		})
	}
}

func TestAStateFileThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()

	_, err := router.New(router.Config{ID: "r1", StateFile: t.TempDir()}, newMasters())

	if err == nil || !strings.Contains(err.Error(), "router state") {
		t.Errorf("New = %v, want an error about the state", err)
	}
}

// TestADiskThatIsFullDoesNotStopTheTraffic: the folder of the state file is gone.
func TestADiskThatIsFullDoesNotStopTheTraffic(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{StateFile: filepath.Join(t.TempDir(), "gone", "table.json")})

	r.apply(t, hello(backend(t, "t1", named("t1"))))

	if got := r.get(t, newClient(t), "/"); got.body != "t1" {
		t.Errorf("answer %q, want t1", got.body)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()

	_, err := router.New(router.Config{ID: "No Name", HoldDefault: -1, QueueMax: -1, BodyKeepMax: -1}, newMasters())

	for _, want := range []string{"router config", "ID", "HoldDefault", "QueueMax", "BodyKeepMax"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, which does not name %s", err, want)
		}
	}
}

// FuzzStateFile: whatever the file holds, a router starts and loses nothing of it.
func FuzzStateFile(f *testing.F) {
	f.Add([]byte(`{"format":1,"table":{"version":{"epoch":1,"seq":2},"services":[{"name":"a","rules":[{}],"hold":-1,"endpoints":[{"task":"t","revision":1,"address":"h:1"}]}]}}`))
	f.Add([]byte(`{"format":9}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "table.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}

		r, err := router.New(router.Config{ID: "r1", StateFile: file}, newMasters())
		if err != nil {
			t.Fatal(err)
		}

		kept, err := os.ReadFile(file)
		if err != nil {
			kept, err = os.ReadFile(file + ".unusable")
		}
		if err != nil || string(kept) != string(text) {
			t.Errorf("the file holds %q, %v", kept, err)
		}
		r.Status()
	})
}
