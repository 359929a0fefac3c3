package machine_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/aloft-run/aloft/agent/machine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

func TestDetectFindsAllTypesOfThisMachine(t *testing.T) {
	t.Parallel()

	found, err := machine.Detect(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}

	if found.Hostname == "" || found.BootID == "" {
		t.Errorf("host name %q, boot id %q", found.Hostname, found.BootID)
	}
	for _, want := range []resource.Type{resource.CPUs, resource.Mem, resource.Disk, resource.Ports} {
		if q := quantityOf(found.Partitions, want); q.Amount() <= 0 {
			t.Errorf("%s: found %v", want, q)
		}
	}
	var books ledger.Ledger
	if err := books.SetAgent(ledger.Agent{ID: "a1", Partitions: found.Partitions}); err != nil {
		t.Errorf("the books refuse the partitions: %v", err)
	}
}

func TestLimitsOfAContainer(t *testing.T) {
	t.Parallel()
	const none = math.MaxInt64
	tests := map[string]struct {
		files map[string]string
		want  machine.Limits
	}{
		"no control groups": {nil, machine.Limits{CPUMillis: none, MemoryBytes: none}},
		"version 2": {
			map[string]string{"memory.max": "1073741824\n", "cpu.max": "150000 100000\n"},
			machine.Limits{CPUMillis: 1500, MemoryBytes: 1 << 30},
		},
		"version 2 without limits": {
			map[string]string{"memory.max": "max\n", "cpu.max": "max 100000\n"},
			machine.Limits{CPUMillis: none, MemoryBytes: none},
		},
		"version 1": {
			map[string]string{
				"memory/memory.limit_in_bytes": "536870912\n", "cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n",
			},
			machine.Limits{CPUMillis: 250, MemoryBytes: 512 << 20},
		},
		"version 1 without limits": {
			map[string]string{
				"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n",
			},
			machine.Limits{CPUMillis: none, MemoryBytes: 9223372036854771712},
		},
		"garbage": {
			map[string]string{"memory.max": "much", "cpu.max": "100000", "cpu/cpu.cfs_quota_us": "1 2 3", "memory/memory.limit_in_bytes": "-5"},
			machine.Limits{CPUMillis: none, MemoryBytes: none},
		},
		"no period":     {map[string]string{"cpu.max": "100000 0"}, machine.Limits{CPUMillis: none, MemoryBytes: none}},
		"a huge quota":  {map[string]string{"cpu.max": "9223372036854775807 1"}, machine.Limits{CPUMillis: none, MemoryBytes: none}},
		"a small quota": {map[string]string{"cpu.max": "1 100000"}, machine.Limits{CPUMillis: 1, MemoryBytes: none}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for path, text := range tc.files {
				root["sys/fs/cgroup/"+path] = &fstest.MapFile{Data: []byte(text)}
			}

			if got := machine.ReadLimits(root); got != tc.want {
				t.Errorf("found %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestAnEmptyFileChangesNothing(t *testing.T) {
	t.Parallel()
	found := []ledger.Partition{{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(1000), Weight: 1000}}
	for _, text := range []string{"", "# only words\n", "{}\n"} {
		file, err := machine.ParseFile([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}

		kept, err := file.Apply(found)

		if err != nil || len(kept) != 1 || kept[0].ID != "cpus" || file.ID != "" || file.Address != "" {
			t.Errorf("%q: %+v, %v, %v", text, file, kept, err)
		}
	}
}

func TestDetectSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := machine.Detect("/no/such/folder", ""); err == nil || !strings.Contains(err.Error(), "disk of /no/such/folder") {
		t.Errorf("Detect = %v", err)
	}
	if _, err := machine.Detect(t.TempDir(), "9-1"); err == nil || !strings.Contains(err.Error(), "ports") {
		t.Errorf("Detect = %v", err)
	}
}

func TestAFileReplacesTheTypesThatItNames(t *testing.T) {
	t.Parallel()
	found, err := machine.Detect(t.TempDir(), "20000-20009")
	if err != nil {
		t.Fatal(err)
	}
	file, err := machine.ParseFile([]byte("id: a1\nattributes: {zone: a}\npartitions:\n" +
		"  - {id: fast, type: cpus, quantity: 8, weight: 2}\n  - {id: spare, type: cpus, quantity: 500m}\n" +
		"  - {id: licence, type: licences, quantity: 3}\n"))
	if err != nil {
		t.Fatal(err)
	}

	cut, err := file.Apply(found.Partitions)
	if err != nil {
		t.Fatal(err)
	}

	if got := quantityOf(cut, resource.CPUs).Amount(); got != 8500 {
		t.Errorf("cpus: found %d thousandths, want 8500", got)
	}
	if got := quantityOf(cut, resource.Ports).Amount(); got != 10 {
		t.Errorf("ports: found %d, want the 10 of the machine", got)
	}
	if file.Attributes["zone"] != "a" || len(cut) != 6 {
		t.Errorf("file %+v, partitions %v", file, cut)
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"unknown field":      {"partitons: []", "partitons"},
		"no quantity":        {"partitions: [{id: a, type: cpus}]", "partitions[0]"},
		"negative quantity":  {"partitions: [{id: a, type: cpus, quantity: -1}]", "cpus"},
		"negative weight":    {"partitions: [{id: a, type: cpus, quantity: 1, weight: -1}]", "weight"},
		"weight of nothing":  {"partitions: [{id: a, type: cpus, quantity: 1, weight: 0.0001}]", "weight"},
		"the same id twice":  {"partitions: [{id: a, type: cpus, quantity: 1}, {id: a, type: mem, quantity: 1}]", "twice"},
		"a name that is not": {"partitions: [{id: A, type: cpus, quantity: 1}]", "partitions[0]: id"},
		"the same field":     {"id: a\nid: b\n", "id"},
		"a wrong type":       {"attributes: [a]", "attributes"},
		"no YAML":            {"id: [", "1"},
		"a bomb":             {bomb(), ""},
		"infinitely heavy":   {"partitions: [{id: a, type: cpus, quantity: 1, weight: .inf}]", "weight"},
		"no weight at all":   {"partitions: [{id: a, type: cpus, quantity: 1, weight: .nan}]", "weight"},
		"too large":          {strings.Repeat("#", 2<<20), "bytes"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			file, err := machine.ParseFile([]byte(tc.text))
			if err == nil {
				_, err = file.Apply(nil)
			}

			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("found error %v; want one about %q", err, tc.want)
			}
		})
	}
}

// bomb returns a document whose aliases stand for a billion words.
func bomb() string {
	text := "a0: &a0 [a, b, c, d, e, f, g, h, i, j]\n"
	for i := 1; i < 9; i++ {
		before := strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10)
		text += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, before)
	}
	return text + "partitions: *a8\n"
}

func quantityOf(partitions []ledger.Partition, t resource.Type) resource.Quantity {
	sum := resource.Quantity{}
	for _, p := range partitions {
		if p.Type == t {
			if next, err := sum.Add(p.Quantity); err == nil {
				sum = next
			} else {
				sum = p.Quantity
			}
		}
	}
	return sum
}
