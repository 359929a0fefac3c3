package ledger_test

import (
	"strings"
	"testing"

	"github.com/aloft-run/aloft/core/ledger"
)

// TestImbalanceFindsWhatIsWrong falsifies good books in every way, and expects
// to be told.
func TestImbalanceFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, breakBooks := range ledger.Breakages() {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			var books ledger.Ledger
			set(t, &books, agent(t, "a1", "cpus:cpus 4", "keys:keys {a,b}", "mem:mem 1GiB", "ports:ports 10-14"))
			setPool(t, &books, "web", "cpus 2")
			held := claim(t, "t1", "cpus:cpus 1", "ports:ports 10")
			held.Pool = "web"
			mustClaim(t, &books, held)
			if err := books.Imbalance(); err != nil {
				t.Fatalf("good books: %v", err)
			}

			breakBooks(&books)

			if err := books.Imbalance(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Imbalance = %v, want %q", err, want)
			}
		})
	}
}
