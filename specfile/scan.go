package specfile

import (
	"errors"
	"io"
	"strings"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// scan returns the tokens of the document, and refuses those that the parser
// should not see; budget is how many the file may still have.
func (c chunk) scan(budget *int) (token.Tokens, error) {
	text := c.text
	if !strings.HasSuffix(text, "\n") {
		text += "\n" // without it the scanner forgets some last words
	}
	var s scanner.Scanner
	s.Init(text)
	var list token.Tokens
	var look inspection
	for {
		next, err := s.Scan()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		for _, t := range next {
			if *budget--; *budget < 0 {
				return nil, c.problem(t, "the file has more than %d words and marks", tokensMax)
			}
			if at, why := look.refuse(t); why != "" {
				return nil, c.problem(at, "%s", why)
			}
			if look.depth() > depthMax {
				return nil, c.problem(t, "lists and maps stand more than %d deep in each other", depthMax)
			}
		}
		list.Add(next...)
	}
}

// inspection looks at tokens one after the other.
type inspection struct {
	last *token.Token // nil before the first; comments do not count
	// flow and dashes count how deep lists and maps stand in each other, as far
	// as that costs no indent: indents bound the rest.
	flow   int
	dashes int
}

func (i *inspection) depth() int { return i.flow + i.dashes }

// refuse returns why a token is not taken, and where; why is empty if it is.
func (i *inspection) refuse(t *token.Token) (at *token.Token, why string) {
	if t.Type == token.CommentType {
		return nil, ""
	}
	before := i.last
	i.last = t
	if before == nil || before.Position.Line != t.Position.Line {
		i.dashes = 0
	}
	switch t.Type {
	case token.SequenceStartType, token.MappingStartType:
		i.flow++
	case token.SequenceEndType, token.MappingEndType:
		i.flow--
	case token.SequenceEntryType:
		i.dashes++
	default:
	}
	if isEmptyItem(before, t) {
		return before, "the item is empty; write its value behind the -, or leave it out"
	}
	return t, refusal(before, t)
}

// isEmptyItem reports whether nothing stands between a dash and the token that
// follows. The parser would take what follows for the item.
func isEmptyItem(before, t *token.Token) bool {
	return before != nil && before.Type == token.SequenceEntryType &&
		t.Position.Line > before.Position.Line && t.Position.Column <= before.Position.Column
}

// refusal returns why a token is not taken, whatever stands around it.
func refusal(before, t *token.Token) string {
	switch t.Type {
	case token.InvalidType:
		return strings.Replace(t.Error, "character '\t' that cannot start any token", "a tab; want spaces for the indent", 1)
	case token.StringType:
		inBlock := before != nil && (before.Type == token.LiteralType || before.Type == token.FoldedType)
		if !inBlock && strings.ContainsAny(strings.TrimSpace(t.Origin), "\t\n") {
			return "a text without quotes has a tab or goes on in the next line; put it in quotes, or check the indents"
		}
		return ""
	case token.AnchorType:
		return "anchors are not taken; write the value out, or in quotes if it is a text that begins with &"
	case token.AliasType:
		return "aliases are not taken; write the value out, or in quotes if it is a text that begins with *"
	case token.MergeKeyType:
		return "merge keys are not taken; write the fields out"
	case token.TagType:
		return "tags are not taken; leave it out, or put it in quotes if it is a text that begins with !"
	case token.DirectiveType:
		return "directives are not taken; leave it out, or put it in quotes if it is a text that begins with %"
	case token.MappingKeyType:
		return "? is not taken; write the key and a colon, or put it in quotes if it is a text that begins with ?"
	case token.DocumentEndType:
		return "... is not taken; begin the next document with ---"
	default:
		return ""
	}
}
