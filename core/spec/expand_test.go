package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/spec"
)

// lookup knows two variables.
func lookup(name string) (string, bool) {
	value, ok := map[string]string{"A": "x", "PATH": "/bin"}[name]
	return value, ok
}

func TestExpand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want, err string }{
		"nothing":            {"", "", ""},
		"no dollar":          {"a b", "a b", ""},
		"a reference":        {"a${A}b", "axb", ""},
		"two references":     {"${A}${PATH}", "x/bin", ""},
		"a dollar sign":      {"$$", "$", ""},
		"a masked reference": {"$${A}", "${A}", ""},
		"a lone dollar":      {"5$ $A", "5$ $A", ""},
		"a dollar at the end": {
			"a$", "a$", "",
		},
		"an unknown name":   {"${B}", "", "${B} is not set"},
		"an open brace":     {"${A", "", "a ${ has no }; write $$ for a dollar sign"},
		"an empty name":     {"${}", "", "${} is not the name of a variable; write $$ for a dollar sign"},
		"a name of a shell": {"${A:-b}", "", "${A:-b} is not the name of a variable; write $$ for a dollar sign"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := spec.Expand(tc.text, lookup)

			if got != tc.want || message(err) != tc.err {
				t.Errorf("Expand = %q, %q, want %q, %q", got, message(err), tc.want, tc.err)
			}
		})
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env, want map[string]string
		err       string
	}{
		"values of each other": {
			env:  map[string]string{"C": "${B}c", "B": "${A}b", "D": "${B}${C}"},
			want: map[string]string{"C": "xbc", "B": "xb", "D": "xbxbc"},
		},
		"its own value before": {
			env:  map[string]string{"PATH": "${PATH}:/opt"},
			want: map[string]string{"PATH": "/bin:/opt"},
		},
		"a value that hides the base's": {
			env:  map[string]string{"A": "y", "B": "${A}"},
			want: map[string]string{"A": "y", "B": "y"},
		},
		"a cycle": {
			env: map[string]string{"A": "${B}", "B": "${C}", "C": "${B}"},
			err: "env A: leads into a cycle: B -> C -> B",
		},
		"values that double each time": {
			env: bomb(100),
			err: "env V000: with its references replaced it has more than 122880 bytes",
		},
		"a name that is not set": {
			env: map[string]string{"B": "${C}", "C": "${NO}"},
			err: "env B: ${NO} is not set",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := spec.Run{Env: tc.env}.Environ(lookup)

			if message(err) != tc.err {
				t.Errorf("Environ: %v, want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); err == nil && diff != "" {
				t.Errorf("Environ (-want +got):\n%s", diff)
			}
		})
	}
}

// bomb returns n variables, each twice as long as the next.
func bomb(n int) map[string]string {
	env := map[string]string{fmt.Sprintf("V%03d", n): "x"}
	for i := range n {
		next := fmt.Sprintf("${V%03d}", i+1)
		env[fmt.Sprintf("V%03d", i)] = next + next
	}
	return env
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzExpand checks that text without references comes out as it went in, and
// that doubling the dollars protects any text.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"", "$", "$$", "${A}", "${A", "a${PATH}b$${A}", "${${A}}", "$$$"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doubled := strings.ReplaceAll(text, "$", "$$")
		if got, err := spec.Expand(doubled, lookup); err != nil || got != text {
			t.Errorf("Expand(%q) = %q, %v", doubled, got, err)
		}
		got, err := spec.Expand(text, lookup)
		if err == nil && !strings.Contains(text, "$") && got != text {
			t.Errorf("Expand(%q) = %q", text, got)
		}
	})
}
