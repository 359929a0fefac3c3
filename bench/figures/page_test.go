package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestPage keeps what was not measured.
func TestPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	kept := parsePage(string(text))
	if again := kept.String(); again != string(text) {
		t.Errorf("written again, the page is\n%s", again)
	}
	var measured rows
	measured.addTimes(span{what: "it takes", took: []time.Duration{3 * time.Second, time.Second, 2 * time.Second}, bar: 2 * time.Second, others: "4 s"})
	measured.addCount("it never happens", "`look`", 0, 3, "")
	measured.addFact("it is there", "`look`", "often", 3)

	kept.put(faultsSection, measured.markdown())

	page := kept.String()
	for _, want := range []string{
		"\n## Faults\n\nMeasured by `make bench` on ",
		"| it takes |  | under 2.00s | 2.00s | 3.00s | 3 | 4 s | **missed** |\n",
		"| it never happens | `look` | 0 | 0 | - | 3 |  | met |\n",
		"| it is there | `look` | - | often | - | 3 |  |  |\n",
		kept[titleOf(clusterSection)], kept[titleOf(routerSection)],
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if !measured.missed || strings.Index(page, "## Faults") < strings.Index(page, "## The router") {
		t.Errorf("missed: %t, in\n%s", measured.missed, page)
	}
}

// TestGap is the longest time without a success, from the moment on.
func TestGap(t *testing.T) {
	t.Parallel()
	moment := time.Now()
	at := func(ms int) time.Time { return moment.Add(time.Duration(ms) * time.Millisecond) }
	w := &writer{stop: func() {}, done: []written{{at(-9), at(-5)}, {at(-4), at(7)}, {at(8), at(60)}, {at(61), at(65)}}}

	first, err := w.after(t.Context(), moment)
	gap, failed := w.finish(moment)

	if first != 60*time.Millisecond || err != nil {
		t.Errorf("the first success that was begun after the moment is after %v, %v", first, err)
	}
	if gap != 53*time.Millisecond || len(failed) > 0 {
		t.Errorf("the gap is %v, failed are %v", gap, failed)
	}
}
