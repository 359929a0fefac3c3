package specfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata" // the zones, whatever the machine has

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/specfile"
)

const web = "service: web\nrun: {command: [./web]}\n"

func TestLoadSeveralDocuments(t *testing.T) {
	t.Parallel()
	text := "\ufeff# first\n---\n" + web + "---\n\n--- # second\njob: once\nrun: {shell: 'echo --- done'}\n---\n"

	documents, err := specfile.Documents("all.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}

	var got []string
	for _, d := range documents {
		got = append(got, fmt.Sprintf("%s %s from %q", d.Spec.Kind, d.Spec.Name, d.Source))
	}
	want := []string{
		fmt.Sprintf("service web from %q", "---\n"+web),
		fmt.Sprintf("job once from %q", "--- # second\njob: once\nrun: {shell: 'echo --- done'}\n"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Documents (-want +got):\n%s", diff)
	}
}

func TestLoadJSON(t *testing.T) {
	t.Parallel()
	document := map[string]any{
		"service": "web", "instances": 3, "run": map[string]any{"command": []string{"./web", "a\tb", "é😀"}},
	}
	tight, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var wide bytes.Buffer
	if err := json.Indent(&wide, tight, "", "\t"); err != nil {
		t.Fatal(err)
	}
	escaped := bytes.ReplaceAll(tight, []byte("😀"), []byte(`\ud83d\ude00`))
	for name, text := range map[string][]byte{"tight": tight, "with tabs": wide.Bytes(), "with surrogates": escaped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			specs, err := specfile.Load("web.json", text)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff([]string{"./web", "a\tb", "é😀"}, specs[0].Run.Command); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ yaml, want string }{
		"a block":             {"|\n    a\n      b\n\n    c\n", "a\n  b\n\nc\n"},
		"a block, stripped":   {"|-\n    a\n    b\n", "a\nb"},
		"a folded block":      {">\n    a\n    b\n", "a b\n"},
		"single quotes":       {"'it''s \"it\"'", `it's "it"`},
		"escapes":             {`"\x41\u00e9\t\"\\"`, "Aé\t\"\\"},
		"several lines":       {"\"a\n    b\"", "a b"},
		"lines that end CRLF": {"|\r\n    a\r\n    b\r\n", "a\nb\n"},
		"a comment behind":    {"a # b", "a"},
		"a hash inside":       {"a#b", "a#b"},
		"a tab in quotes":     {"'a\tb'", "a\tb"},
		"a tab in a block":    {"|\n    \ta\tb\n", "\ta\tb\n"},
		"a tab behind":        {"a\t# b", "a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			specs, err := specfile.Load("", []byte("service: web\nrun:\n  shell: "+tc.yaml))
			if err != nil {
				t.Fatal(err)
			}

			if got := specs[0].Run.Shell; got != tc.want {
				t.Errorf("the text is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, y, x, y]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n"
	tests := map[string]struct{ text, want string }{
		// Bytes.
		"nothing":                {"", "f.yaml: the file has no document; want one such as service: web"},
		"comments alone":         {"# nothing\n---\n", "f.yaml: the file has no document; want one such as service: web"},
		"10 MB":                  {strings.Repeat("# padding\n", 1<<20), "f.yaml: the file has 10485760 bytes; want at most 1048576"},
		"not UTF-8":              {web + "user: \xff\n", "f.yaml: line 3: it is not UTF-8"},
		"a NUL":                  {web + "dir: a\x00b\n", `f.yaml: line 3: the character '\x00' cannot stand in a file; write it as an escape in double quotes`},
		"a return inside a line": {"service: a\rb", `f.yaml: line 1: the character '\r' cannot stand in a file; write it as an escape in double quotes`},
		"an executable":          {"\x7fELF\x02\x01", `f.yaml: line 1: the character '\x7f' cannot stand in a file; write it as an escape in double quotes`},
		"lines of spaces":        {"a: |\n" + strings.Repeat(" \n", 2000), "f.yaml: line 1002: more than 1000 lines have nothing but spaces"},
		"endless words":          {"a: [" + strings.Repeat("b,", 20_000) + "]", "f.yaml: line 1: the file has more than 20000 words and marks"},

		// What is YAML, but could mean more than it says.
		"a bomb":       {bomb, "f.yaml: line 1: anchors are not taken; write the value out, or in quotes if it is a text that begins with &\n    1 | a: &a [x, y, x, y]\n      |    ^"},
		"an alias":     {"host: *.example.com", "f.yaml: line 1: aliases are not taken; write the value out, or in quotes if it is a text that begins with *\n    1 | host: *.example.com\n      |       ^"},
		"a merge":      {"a: {<<: b}", "f.yaml: line 1: merge keys are not taken; write the fields out\n    1 | a: {<<: b}\n      |     ^"},
		"a tag":        {"service: !!binary d2Vi", "f.yaml: line 1: tags are not taken; leave it out, or put it in quotes if it is a text that begins with !\n    1 | service: !!binary d2Vi\n      |          ^"},
		"a directive":  {"%YAML 1.1\n---\n" + web, "f.yaml: line 1: directives are not taken; leave it out, or put it in quotes if it is a text that begins with %\n    1 | %YAML 1.1\n      | ^"},
		"a long key":   {"? service\n: web", "f.yaml: line 1: ? is not taken; write the key and a colon, or put it in quotes if it is a text that begins with ?\n    1 | ? service\n      | ^"},
		"an end":       {web + "...\n" + web, "f.yaml: line 3: ... is not taken; begin the next document with ---\n    3 | ...\n      | ^"},
		"deep lists":   {"a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30), "f.yaml: line 1: lists and maps stand more than 20 deep in each other\n    1 | a: " + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "\n      |                        ^"},
		"deep dashes":  {strings.Repeat("- ", 30) + "a", "f.yaml: line 1: lists and maps stand more than 20 deep in each other\n    1 | " + strings.Repeat("- ", 30) + "a\n      |                                         ^"},
		"deep indents": {indents(30), "f.yaml: line 21: lists and maps stand more than 20 deep in each other\n   21 |                      a:\n      |                      ^"},

		// What is not YAML.
		"an open list": {"service: web\nports: [http\nrun: x", "f.yaml: line 3: ',' or ']' must be specified\n    3 | run: x\n      | ^"},
		"an open quote": {
			"service: \"web\nrun: x", "f.yaml: line 1: could not find end character of double-quoted text\n    1 | service: \"web\n      |          ^",
		},
		"a tab for an indent": {"run:\n\tshell: x", "f.yaml: line 2: found a tab; want spaces for the indent\n    2 |  shell: x\n      | ^"},
		"a tab in a text":     {"a: b\tc", "f.yaml: line 1: a text without quotes has a tab or goes on in the next line; put it in quotes, or check the indents\n    1 | a: b c\n      |    ^"},
		"a text of two lines": {"run:\n  command\n  dir: x", "f.yaml: line 2: a text without quotes has a tab or goes on in the next line; put it in quotes, or check the indents\n    2 |   command\n      |   ^"},
		"an empty item":       {"ports:\n-\nservice: x", "f.yaml: line 2: the item is empty; write its value behind the -, or leave it out\n    2 | -\n      | ^"},
		"a value too many":    {"a: b: c", "f.yaml: line 1: mapping value is not allowed in this context\n    1 | a: b: c\n      |    ^"},
		"in a later document": {web + "---\na: b: c", "f.yaml: line 4: mapping value is not allowed in this context\n    4 | a: b: c\n      |    ^"},
		"in a long line":      {"a: b: " + strings.Repeat("c", 100), "f.yaml: line 1: mapping value is not allowed in this context"},

		// What is no spec.
		"a document that is a text": {"hello", `f.yaml: line 1: found "hello"; want a map of fields`},
		"the lines of later documents": {
			web + "---\nservice: other\nprots: []\nrun: {command: [a]}",
			`f.yaml: line 5: unknown field "prots"; did you mean "ports"?`,
		},
		"problems of several documents": {
			"service: Web\nrun: {shell: x}\n---\na: [\n---\njob: x",
			"f.yaml: line 1: service: found \"Web\"; want a name: 1 to 63 lower-case letters, digits and inner hyphens\n" +
				"f.yaml: line 4: sequence end token ']' not found\n    4 | a: [\n      |    ^\n" +
				"f.yaml: line 6: run: is missing",
		},
		"a key that is there twice": {web + "service: x", "f.yaml: line 3: service: is given twice; the first is in line 1"},
		"a name that is there twice": {
			web + "---\njob: web\nrun: {shell: x}",
			"f.yaml: line 4: job: the name web is in line 1 already; services, jobs, daemons and crons share their names",
		},
		"an unknown zone": {
			"cron: a\nrun: {shell: x}\nschedule: \"@daily\"\ntimezone: Europe/Atlantis",
			`f.yaml: line 4: timezone: unknown time zone "Europe/Atlantis"; want an IANA name such as Europe/Berlin`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			specs, err := specfile.Load("f.yaml", []byte(tc.text))

			if err == nil || specs != nil {
				t.Fatalf("Load = %v, %v", specs, err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

func indents(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(strings.Repeat(" ", i) + " a:\n")
	}
	return text.String()
}

// TestLoadPlaces checks what a client gets to show a problem in its place.
func TestLoadPlaces(t *testing.T) {
	t.Parallel()
	_, err := specfile.Load("f.yaml", []byte("---\n"+web+"logs:\n  files: 0\n"))

	problems, ok := errors.AsType[specfile.Problems](err)
	want := specfile.Problems{{File: "f.yaml", Problem: spec.Problem{
		Line: 5, Column: 10, Field: "logs.files", Message: "found 0; want a whole number from 1 to 1000",
	}}}
	if diff := cmp.Diff(want, problems); !ok || diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoadZone(t *testing.T) {
	t.Parallel()
	specs, err := specfile.Load("", []byte("cron: a\nrun: {shell: x}\nschedule: \"@daily\"\ntimezone: Europe/Berlin"))

	if err != nil || specs[0].Schedule.Timezone != "Europe/Berlin" {
		t.Errorf("Load = %v, %v", specs, err)
	}
}

// TestParse checks the whole of a tree, with its places.
func TestParse(t *testing.T) {
	t.Parallel()
	nodes, err := specfile.Parse("", []byte("# a\nb:\n- \"1\"\n- {c: 1, d: }\ne: |\n  f\ng: ~\n"))
	if err != nil {
		t.Fatal(err)
	}

	scalar := func(line, column int, value string, quoted bool) spec.Node {
		return spec.Node{Line: line, Column: column, Kind: spec.Scalar, Value: value, Quoted: quoted}
	}
	null := func(line, column int) spec.Node { return spec.Node{Line: line, Column: column} }
	inner := spec.Node{Line: 4, Column: 3, Kind: spec.Map, Entries: []spec.Entry{
		{Key: scalar(4, 4, "c", false), Value: scalar(4, 7, "1", false)},
		{Key: scalar(4, 10, "d", false), Value: null(4, 12)},
	}}
	list := spec.Node{Line: 3, Column: 1, Kind: spec.List, Items: []spec.Node{scalar(3, 3, "1", true), inner}}
	want := []spec.Node{{Line: 2, Column: 1, Kind: spec.Map, Entries: []spec.Entry{
		{Key: scalar(2, 1, "b", false), Value: list},
		{Key: scalar(5, 1, "e", false), Value: scalar(5, 4, "f\n", true)},
		{Key: scalar(7, 1, "g", false), Value: null(7, 4)},
	}}}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

// TestExamples loads every file in testdata and reads back what Encode prints.
func TestExamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		specs, err := specfile.Load(path, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specs {
			checkReadsBack(t, s)
		}
	}
}

func checkReadsBack(t *testing.T, s *spec.Spec) {
	t.Helper()
	printed := spec.Encode(s)
	back, err := specfile.Load("", []byte(printed))
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, printed)
	}
	if diff := cmp.Diff(s, back[0]); diff != "" {
		t.Fatalf("Load(Encode) (-want +got):\n%s\nof:\n%s", diff, printed)
	}
}

// FuzzLoad checks that no text makes the parser fall over, and that what is
// taken reads back the same.
func FuzzLoad(f *testing.F) {
	seeds := []string{
		web, "", "---", "- - -", "[[[[", "{{{{", "a: &a [*a]", "<<: a", "!!str", "? a\n: b", "%YAML", "...", "a:\n\tb", "a: |2\n   b\n  c",
		"a: >+\n\n\n b", "\"\\ud800\"", "\"\\x", "'", "a: 'b\n\n c'", "a: b: c", ": :", "-", "---\n---\n...", "#", "a: #b", "{a, b: }", "[a: b]", "{[a]: b}",
		"0x", "0b2", "1_0", ".inf", "~: ~", "a: \"\n  b\"", "\ufeffa: b", "a: @b", "a: `", "a:\r\n  b", "|", ">-", "a: |\n\n \n  b\n", "- a\n b", "a: - b", "{a: b", "a: [b,,c]", "a: {b: [c}",
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
		f.Add([]byte(web + "dir: " + seed))
	}
	if text, err := os.ReadFile("testdata/hello.yaml"); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		specs, err := specfile.Load("", text)
		if (err == nil) != (len(specs) > 0) {
			t.Fatalf("Load = %d specs, %v", len(specs), err)
		}
		for _, s := range specs {
			checkReadsBack(t, s)
		}
	})
}
