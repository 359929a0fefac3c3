package aloft_test

import (
	"encoding/json"
	"os"
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
