package spec

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// NodeKind tells what a Node is.
type NodeKind uint8

// The kinds of node.
const (
	Null   NodeKind = iota // nothing, as after a key without a value
	Scalar                 // one text, number or flag
	List                   // items in order
	Map                    // entries in order
)

// Node is a part of a document, whatever the format it was written in. It lets
// core read documents without a parser of its own.
type Node struct {
	Line, Column int // from 1; 0 when it was not read from a file
	Kind         NodeKind
	Value        string // of a scalar, as it was written, without quotes and escapes
	Quoted       bool   // the scalar is text, whatever it looks like: "1" and not 1
	Entries      []Entry
	Items        []Node
}

// Entry is one key of a map and its value.
type Entry struct {
	Key   Node
	Value Node
}

// literal is what a scalar is by its looks.
type literal uint8

const (
	textual literal = iota
	numeric
	flagged
)

// literal returns what a scalar is: text when it is quoted, else what YAML 1.2
// takes it for.
func (n Node) literal() literal {
	switch {
	case n.Quoted:
		return textual
	case slices.Contains([]string{"true", "True", "TRUE", "false", "False", "FALSE"}, n.Value):
		return flagged
	case isNumber(n.Value):
		return numeric
	default:
		return textual
	}
}

func isNumber(text string) bool {
	body := strings.TrimLeft(text, "+-")
	if slices.Contains([]string{".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"}, body) {
		return true
	}
	digits := strings.TrimPrefix(body, ".")
	if digits == "" || digits[0] < '0' || digits[0] > '9' {
		return false
	}
	_, asFloat := strconv.ParseFloat(text, 64)
	_, asInteger := strconv.ParseInt(text, 0, 64)
	return fitsOrOverflows(asFloat) || fitsOrOverflows(asInteger)
}

// fitsOrOverflows reports whether the text was a number, be it too large.
func fitsOrOverflows(err error) bool { return err == nil || errors.Is(err, strconv.ErrRange) }

// get returns the value of the first entry with that key.
func (n Node) get(key string) (Node, bool) {
	for _, e := range n.Entries {
		if e.Key.Value == key {
			return e.Value, true
		}
	}
	return Node{}, false
}

// described names the node for a message.
func (n Node) described() string {
	switch n.Kind {
	case Scalar:
		if n.literal() == textual {
			return strconv.Quote(clip(n.Value))
		}
		return clip(n.Value)
	case List:
		return "a list"
	case Map:
		return "a map"
	default:
		return "nothing"
	}
}

// clip keeps a message short, whatever the text.
func clip(text string) string {
	const lengthMax = 60
	if len(text) <= lengthMax {
		return text
	}
	return strings.ToValidUTF8(text[:lengthMax], "") + "…"
}

// textNode returns text, which is printed so that it is read back as text.
func textNode(text string) Node { return Node{Kind: Scalar, Value: text, Quoted: true} }

// bareNode returns a number or a flag.
func bareNode(text string) Node { return Node{Kind: Scalar, Value: text} }

// with returns the map n with one more entry.
func (n Node) with(key string, value Node) Node {
	n.Kind = Map
	n.Entries = append(n.Entries, Entry{Key: textNode(key), Value: value})
	return n
}

func listNode(items ...Node) Node { return Node{Kind: List, Items: items} }

func textNodes(texts ...string) Node {
	list := listNode()
	for _, text := range texts {
		list.Items = append(list.Items, textNode(text))
	}
	return list
}
