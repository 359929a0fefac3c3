package spec_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/core/spec"
)

// TestSchema keeps the schema, which editors depend on.
func TestSchema(t *testing.T) {
	t.Parallel()
	schema := spec.Schema()

	if !json.Valid([]byte(schema)) {
		t.Error("the schema is not JSON")
	}
	compareGolden(t, "schema.json", schema)
}

// TestSchemaKnowsTheFields checks that the schema has the fields that Decode
// names when it meets one that it does not know.
func TestSchemaKnowsTheFields(t *testing.T) {
	t.Parallel()
	var schema property
	if err := json.Unmarshal([]byte(spec.Schema()), &schema); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		text string
		path []string
	}{
		"deploy":    {web + "deploy: {x: 1}", []string{"deploy"}},
		"logs":      {web + "logs: {x: 1}", []string{"logs"}},
		"placement": {web + "placement: {x: 1}", []string{"placement"}},
		"on_lost":   {web + "on_lost: {x: 1}", []string{"on_lost"}},
		"run":       {"service: web\nrun: {x: 1, command: [a]}", []string{"run"}},
		"ready":     {web + "ports: [a]\nready: {x: 1, tcp: true}", []string{"ready"}},
		"route":     {web + "ports: [a]\nroute: {x: 1}", []string{"route"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := spec.Decode(parsed(t, tc.text), zones)
			_, list, found := strings.Cut(err.Error(), "known are ")
			if !found {
				t.Fatalf("Decode = %v", err)
			}

			known := schema
			for _, step := range tc.path {
				known = known.Properties[step]
			}

			names := strings.Split(list, ", ")
			slices.Sort(names)
			if got := known.names(); !slices.Equal(got, names) {
				t.Errorf("the schema has %v, Decode %v", got, names)
			}
		})
	}
}

type property struct {
	Properties map[string]property `json:"properties"`
}

func (p property) names() []string {
	var names []string
	for name := range p.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
