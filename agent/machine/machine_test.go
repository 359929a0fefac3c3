package machine_test

import (
	"strings"
	"testing"

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
