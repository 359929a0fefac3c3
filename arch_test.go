package aloft_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aloft-run/aloft/"

// layers is the architecture, from the bottom up: a package may import those of
// ours that stand in a line above its own, and not its neighbours. A package
// that is not here fails the test, so that a new one is a decision.
var layers = [][]string{
	{"core/id", "core/ordered", "core/succession"},
	{"core/resource"},
	{"core/ledger", "core/spec", "core/task"},
	{"core/fairshare", "core/placement", "core/rollout", "core/route"},
	{"core/engine"},
	{"gen/aloft/v1", "gen/aloft/v1/aloftv1connect"},
	{"specfile", "wire"},
	{"hugepage", "kernel", "prefault", "removal", "router/plain", "unmetered", "wheel"},
	{"poller"},
	{"footprint", "keepalive", "telemetry"},
	{"agent/logs", "router/handover", "router/relay", "router/upstream", "store"},
	{"agent/supervisor"},
	{"agent/fetch", "agent/machine", "agent/probe", "agent/runtime", "client", "store/memory", "store/storetest"},
	{"agent/runtime/fake"},
	{"agent", "cli", "fleet", "master", "router"},
	{"simulate"},
	{"cmd/aloft", "sim"},
}

// neighbours are the packages that belong to another one of their own layer.
var neighbours = map[string]string{
	"gen/aloft/v1/aloftv1connect": "gen/aloft/v1",
}

// keptFor names, for the parts that serve one role, who may use them. Others are
// handed what they need by cmd/aloft, which may use everything; tests may, too.
var keptFor = map[string][]string{
	"agent/fetch":        {"agent"},
	"agent/logs":         {"agent", "agent/supervisor"},
	"agent/machine":      {"simulate"},
	"agent/probe":        {"agent"},
	"agent/runtime":      {"agent", "agent/runtime/fake"},
	"agent/runtime/fake": {},
	"agent/supervisor":   {"agent/runtime", "agent/runtime/fake"},
	"client":             {"cli", "fleet", "simulate"},
	"hugepage":           {},
	"prefault":           {},
	"keepalive":          {"client", "master"},
	"router/handover":    {},
	"router/plain":       {"router", "router/upstream"},
	"router/relay":       {"router"},
	"router/upstream":    {"router"},
	"store":              {"master", "store/memory", "store/storetest"},
	"store/memory":       {},
	"store/storetest":    {},
}

// apart are the folders whose packages import nothing of the product's: what is
// deployed on a cluster knows nothing about it, and what measures the product
// speaks to it as its users do.
var apart = []string{"bench/", "examples/"}

// pureStd is all of the standard library that core may use.
var pureStd = []string{"cmp", "errors", "fmt", "iter", "maps", "math", "math/bits", "slices", "strconv", "strings", "time"}

// outsideCore are the modules of others that a package of core may use: what
// they compute is as pure as core itself.
var outsideCore = map[string][]string{"core/spec": {"github.com/robfig/cron/v3"}}

// impure are the calls that would let the world into core.
var impure = []string{
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker",
	"fmt.Print", "fmt.Println", "fmt.Printf",
}

// nameless are names that say nothing about what a package is for.
var nameless = []string{"util", "utils", "common", "types", "helper", "helpers", "misc", "shared"}

const (
	fileLinesMax, funcLinesMax = 500, 70
	docLinesMin, docLinesMax   = 3, 12
)

func TestArchitecture(t *testing.T) {
	found := sources(t)
	for file, source := range found {
		checkImports(t, file, source)
		checkPurity(t, file, source)
		checkSizes(t, file, source)
	}
	checkPackages(t, found)
}

// checkPackages holds every package to one package comment of a fitting length
// and a telling name, and the table to the packages that are there.
func checkPackages(t *testing.T, found map[string]source) {
	t.Helper()
	docs := map[string]int{}
	for file, source := range found {
		dir := path.Dir(file)
		docs[dir] += 0
		if source.tree.Doc == nil {
			continue
		}
		docs[dir]++
		lines := strings.Count(strings.TrimSpace(source.tree.Doc.Text()), "\n") + 1
		if lines < docLinesMin || lines > docLinesMax {
			t.Errorf("%s: the package comment has %d lines, want %d to %d", file, lines, docLinesMin, docLinesMax)
		}
	}
	for dir, n := range docs {
		if n != 1 && !generated(dir) {
			t.Errorf("package %s has %d package comments, want 1", dir, n)
		}
		if slices.Contains(nameless, path.Base(dir)) {
			t.Errorf("package %s: its name does not say what it is for", dir)
		}
		if dir != "." && layerOf(dir) < 0 && !isApart(dir) {
			t.Errorf("package %s is in no layer", dir)
		}
	}
	for _, layer := range layers {
		for _, dir := range layer {
			if _, there := docs[dir]; !there {
				t.Errorf("layers names %s, which is not there", dir)
			}
		}
	}
}

// checkImports lets a file import what its package may.
func checkImports(t *testing.T, file string, src source) {
	t.Helper()
	dir := path.Dir(file)
	for _, spec := range src.tree.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		ours, isOurs := strings.CutPrefix(imported, module)
		switch {
		case isOurs && !mayImport(dir, ours):
			t.Errorf("%s: %s may not import %s", file, dir, ours)
		case !isOurs && inCore(dir) && !slices.Contains(pureStd, imported) && !slices.Contains(outsideCore[dir], imported):
			t.Errorf("%s: core may not import %s", file, imported)
		}
	}
}

func mayImport(dir, ours string) bool {
	if isApart(dir) {
		top, _, _ := strings.Cut(dir, "/")
		return strings.HasPrefix(ours, top+"/")
	}
	if users, kept := keptFor[ours]; kept && dir != "cmd/aloft" && !slices.Contains(users, dir) {
		return false
	}
	return 0 <= layerOf(ours) && layerOf(ours) < layerOf(dir) || neighbours[dir] == ours
}

// layerOf returns the layer of a package, or -1 for one that has none.
func layerOf(dir string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, dir) })
}

func inCore(dir string) bool    { return strings.HasPrefix(dir, "core/") }
func generated(dir string) bool { return strings.HasPrefix(dir, "gen/") }

func isApart(dir string) bool {
	return slices.ContainsFunc(apart, func(top string) bool { return strings.HasPrefix(dir, top) })
}

// checkPurity keeps the clock, concurrency and output out of core.
func checkPurity(t *testing.T, file string, src source) {
	t.Helper()
	if !inCore(path.Dir(file)) {
		return
	}
	ast.Inspect(src.tree, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: core may not start a goroutine", file)
		case *ast.ChanType:
			t.Errorf("%s: core may not use a channel", file)
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(impure, pkg.Name+"."+n.Sel.Name) {
				t.Errorf("%s: core may not use %s.%s", file, pkg.Name, n.Sel.Name)
			}
		}
		return true
	})
}

func checkSizes(t *testing.T, file string, src source) {
	t.Helper()
	if generated(file) {
		return
	}
	line := func(pos token.Pos) int { return src.set.Position(pos).Line }
	if n := line(src.tree.FileEnd); n > fileLinesMax {
		t.Errorf("%s has %d lines; split it by what changes together", file, n)
	}
	for _, decl := range src.tree.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && line(fn.End())-line(fn.Pos()) >= funcLinesMax {
			t.Errorf("%s: %s is longer than %d lines", file, fn.Name.Name, funcLinesMax)
		}
	}
}

type source struct {
	set  *token.FileSet
	tree *ast.File
}

// sources returns every Go file that is not a test, by its path from the root.
func sources(t *testing.T) map[string]source {
	t.Helper()
	found := map[string]source{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && isSkipped(name):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		found[filepath.ToSlash(file)] = source{set, tree}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isSkipped(folder string) bool {
	return folder == "testdata" || folder == "bin" || len(folder) > 1 && folder[0] == '.'
}
