// Package specfile reads spec files: YAML, or JSON, which is YAML too.
//
// It trusts nothing that it reads. A file is bounded in size, tokens and depth
// before the parser sees it, and what could make a small file large or the same
// text mean two things (anchors and aliases, tags, directives) is refused with
// words. Every message tells its line.
package specfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/aloft-run/aloft/core/spec"
)

// SizeMax is the size of the largest file, in bytes.
const SizeMax = 1 << 20

// Limits of a file that keep the parser's time and memory low.
const (
	tokensMax = 20_000
	depthMax  = 20
	spacesMax = 1000 // lines with nothing but spaces, each of which the scanner reads again and again
)

// Parse returns the documents of a file, without those that are empty. The name
// is for messages. The error is Problems.
func Parse(name string, text []byte) ([]spec.Node, error) {
	parts, problems := parse(text)
	if len(problems) > 0 {
		return nil, problemsOf(name, problems)
	}
	var nodes []spec.Node
	for _, p := range parts {
		nodes = append(nodes, p.node)
	}
	return nodes, nil
}

// part is one document of a file.
type part struct {
	node   spec.Node
	source string
}

// parse returns the documents that can be read, and what is wrong with the rest.
func parse(text []byte) ([]part, []spec.Problem) {
	if problem, bad := screen(text); bad {
		return nil, []spec.Problem{problem}
	}
	var parts []part
	var problems []spec.Problem
	tokens := tokensMax
	for _, c := range split(strings.TrimPrefix(string(text), "\ufeff")) {
		node, err := c.parse(&tokens)
		if problem, bad := errors.AsType[*problemError](err); bad {
			problems = append(problems, problem.Problem)
			continue
		}
		if node.Kind != spec.Null {
			parts = append(parts, part{node, c.text})
		}
	}
	if len(parts) == 0 && len(problems) == 0 {
		problems = append(problems, spec.Problem{Message: "the file has no document; want one such as service: web"})
	}
	return parts, problems
}

// screen returns what is wrong with the bytes of a file.
func screen(text []byte) (spec.Problem, bool) {
	if len(text) > SizeMax {
		return spec.Problem{Message: fmt.Sprintf("the file has %d bytes; want at most %d", len(text), SizeMax)}, true
	}
	line, spaces := 0, 0
	for content := range bytes.Lines(text) {
		line++
		content = bytes.TrimRight(content, "\r\n")
		if !utf8.Valid(content) {
			return spec.Problem{Line: line, Message: "it is not UTF-8"}, true
		}
		if i := bytes.IndexFunc(content, isControl); i >= 0 {
			c, _ := utf8.DecodeRune(content[i:])
			return spec.Problem{
				Line: line, Column: utf8.RuneCount(content[:i]) + 1,
				Message: fmt.Sprintf("the character %q cannot stand in a file; write it as an escape in double quotes", c),
			}, true
		}
		if len(content) > 0 && len(bytes.TrimSpace(content)) == 0 {
			spaces++
		}
		if spaces > spacesMax {
			return spec.Problem{Line: line, Message: fmt.Sprintf("more than %d lines have nothing but spaces", spacesMax)}, true
		}
	}
	return spec.Problem{}, false
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || 0x7f <= r && r < 0xa0 && r != 0x85 }

// chunk is the text of one document.
type chunk struct {
	text   string
	before int // lines of the file above it
}

// split cuts a file at the lines that begin a document. The parser could do
// that too, but forgets what follows an empty one.
func split(text string) []chunk {
	var chunks []chunk
	current, line := chunk{}, 0
	start, offset := 0, 0
	for content := range strings.Lines(text) {
		rest, header := strings.CutPrefix(content, "---")
		if header && strings.TrimLeft(rest[:min(1, len(rest))], " \t\r\n") == "" && offset > start {
			current.text = text[start:offset]
			chunks = append(chunks, current)
			current, start = chunk{before: line}, offset
		}
		line++
		offset += len(content)
	}
	current.text = text[start:]
	return append(chunks, current)
}

// problemError is a problem on its way up.
type problemError struct{ spec.Problem }

func (e *problemError) Error() string { return e.String() }

// problem returns an error about the place of a token.
func (c chunk) problem(at *token.Token, format string, args ...any) error {
	p := spec.Problem{Message: fmt.Sprintf(format, args...)}
	if at != nil && at.Position != nil {
		p.Line, p.Column = c.before+at.Position.Line, max(1, at.Position.Column)
		p.Message += c.pointer(at.Position.Line, p.Column)
	}
	return &problemError{p}
}

// pointer returns the line of the document with a mark below the column.
func (c chunk) pointer(line, column int) string {
	lines := strings.Split(c.text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	const widthMax = 80
	content := []rune(strings.TrimRight(strings.ReplaceAll(lines[line-1], "\t", " "), "\r"))
	if len(content) > widthMax || column > len(content)+1 {
		return ""
	}
	number := fmt.Sprintf("%5d | ", c.before+line)
	margin := strings.Repeat(" ", len(number)-2) + "| "
	return "\n" + number + string(content) + "\n" + margin + strings.Repeat(" ", column-1) + "^"
}

// parse returns the document; tokens is how many the file may still have.
func (c chunk) parse(tokens *int) (spec.Node, error) {
	list, err := c.scan(tokens)
	if err != nil {
		return spec.Node{}, err
	}
	file, err := parser.Parse(list, 0, parser.AllowDuplicateMapKey())
	if syntax, bad := errors.AsType[*yaml.SyntaxError](err); bad {
		return spec.Node{}, c.problem(syntax.Token, "%s", syntax.Message)
	}
	if err != nil {
		return spec.Node{}, &problemError{spec.Problem{Line: c.before + 1, Message: "the document cannot be read: " + err.Error()}}
	}
	for _, document := range file.Docs {
		if document.Body != nil {
			return c.node(document.Body, 0)
		}
	}
	return spec.Node{}, nil
}
