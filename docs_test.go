package aloft_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/core/spec"
)

// TestSpecPageNamesEveryField holds docs/spec.md to the schema that editors and
// the decoder share.
func TestSpecPageNamesEveryField(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(spec.Schema()), &schema); err != nil {
		t.Fatal(err)
	}

	names := fieldsOf(schema)

	if len(names) < 50 {
		t.Fatalf("the schema has %d fields; it is not read as it is written", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(page), name+"` |") {
			t.Errorf("docs/spec.md does not name the field %s", name)
		}
	}
}

// TestPagesNameTestsThatExist holds the pages to the tests that they say show something.
func TestPagesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	have := map[string]bool{}
	eachFile(t, "_test.go", func(_, text string) {
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			have[m[1]] = true
		}
	})
	named := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w+`)
	eachFile(t, ".md", func(path, text string) {
		for _, name := range named.FindAllString(text, -1) {
			if !have[name] {
				t.Errorf("%s names %s, and there is no such test", path, name)
			}
		}
	})
}

// TestFaultsNameStoriesThatExist holds docs/faults.md to the stories and scripts that
// it says show something.
func TestFaultsNameStoriesThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, suffix := range []string{".txt", ".txtar"} {
		eachFile(t, suffix, func(path, _ string) { have[strings.TrimSuffix(filepath.Base(path), suffix)] = true })
	}
	const names = `[a-z][a-z-]*(?:\\\*)?(?:, [a-z][a-z-]*(?:\\\*)?)*`
	named := regexp.MustCompile(`(?:script|story|stories|TestStories) [\x60(]?(` + names + `)|([\w-]+)\.txtar|\x60sim\x60 ([a-z]+-[a-z-]+)`)
	found := 0
	for row := range strings.Lines(string(page)) {
		for _, m := range named.FindAllStringSubmatch(row[strings.LastIndex(strings.TrimRight(row, "|\n "), "|")+1:], -1) {
			for name := range strings.SplitSeq(m[1]+m[2]+m[3], ",") {
				found++
				name, many := strings.CutSuffix(strings.TrimSpace(name), `\*`)
				there := have[name]
				for other := range have {
					there = there || many && strings.HasPrefix(other, name)
				}
				if !there {
					t.Errorf("docs/faults.md names %q, and there is no such story or script", name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("docs/faults.md names %d stories and scripts; it is not read as it is written", found)
	}
}

// TestTablesSayThingsOnce finds a word or a fault that has two rows in one table.
func TestTablesSayThingsOnce(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"docs/glossary.md", "docs/faults.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, table, found := strings.Cut(string(page), "|---|")
		if !found {
			t.Fatalf("%s has no table", path)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		seen := map[string]bool{}
		for row := range strings.Lines(table) {
			word, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
			if seen[word] {
				t.Errorf("%s has two rows for %q", path, strings.TrimSpace(word))
			}
			seen[word] = true
		}
	}
}

// eachFile calls visit with each file of the repository whose name ends so.
func eachFile(t *testing.T, suffix string, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		visit(path, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fieldsOf returns the names of all properties in a schema, at any depth.
func fieldsOf(node any) []string {
	var names []string
	switch n := node.(type) {
	case map[string]any:
		if properties, ok := n["properties"].(map[string]any); ok {
			for name := range properties {
				names = append(names, name)
			}
		}
		for _, child := range n {
			names = append(names, fieldsOf(child)...)
		}
	case []any:
		for _, child := range n {
			names = append(names, fieldsOf(child)...)
		}
	}
	return names
}
