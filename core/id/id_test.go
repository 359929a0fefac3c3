package id_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
)

// TestCheckKnowsNames compares Check with the definition of a DNS label.
func TestCheckKnowsNames(t *testing.T) {
	t.Parallel()
	label := regexp.MustCompile(`\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\z`)
	parts := rapid.OneOf(
		rapid.StringMatching(`[-a-z0-9]{0,66}`), rapid.SampledFrom([]string{"a", "z", "0", "9", "-", "`", "{", "/", ":", "A", "\x00", "\x80", "\xad", "\xe1", "é"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		name := parts.Draw(t, "begin") + parts.Draw(t, "end")

		err := id.Check(id.Task(name))

		if want := label.MatchString(name); (err == nil) != want {
			t.Fatalf("Check(%q) = %v, want a name: %v", name, err, want)
		}
	})
}
