package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rule is all that is known about one kind of value: how it is read from a
// document, how it is written to one, and its shape. Decode, Encode, Compare
// and Schema follow the same rules, so that they cannot disagree.
type rule[T any] struct {
	shape shape
	// read sets into from n, or reports why it cannot.
	read func(d *decoder, field string, n Node, into *T)
	// tree returns the value as a spec of kind k writes it, and whether to write
	// it at all.
	tree func(k Kind, from *T) (Node, bool)
}

// at makes a rule for a whole from the rule for a part of it.
func at[S, T any](r rule[T], part func(*S) *T) rule[S] {
	return rule[S]{
		shape: r.shape,
		read:  func(d *decoder, field string, n Node, into *S) { r.read(d, field, n, part(into)) },
		tree:  func(k Kind, from *S) (Node, bool) { return r.tree(k, part(from)) },
	}
}

// optional makes a rule that does not write the zero value.
func optional[T comparable](r rule[T]) rule[T] {
	tree := r.tree
	r.tree = func(k Kind, from *T) (Node, bool) {
		if *from == *new(T) {
			return Node{}, false
		}
		return tree(k, from)
	}
	return r
}

// errForm says that a text is not of the form that the rule wants, which the
// message tells anyway.
var errForm = errors.New("not of the wanted form")

// leaf is a value that is written as one scalar.
type leaf[T any] struct {
	want  string // what would be right, for messages
	shape shape
	parse func(text string) (T, error) // errForm, or an error that adds to want
	print func(T) string
	// numbersToo lets numbers through to parse, which can say what is wrong with
	// them, and keeps them out of the schema.
	numbersToo bool
}

// rule returns the leaf as a rule. Numbers and flags that the shape allows are
// written without quotes.
func (l leaf[T]) rule() rule[T] {
	return rule[T]{
		shape: l.shape,
		read: func(d *decoder, field string, n Node, into *T) {
			if n.Kind != Scalar || !l.takes(n.literal()) {
				d.report(n, field, "found %s; want %s", n.described(), l.wantInstead(n))
				return
			}
			value, err := l.parse(n.Value)
			switch {
			case errors.Is(err, errForm):
				d.report(n, field, "found %s; want %s", n.described(), l.want)
			case err != nil:
				d.report(n, field, "found %s; want %s: %v", n.described(), l.want, err)
			default:
				*into = value
			}
		},
		tree: func(_ Kind, from *T) (Node, bool) {
			text := l.print(*from)
			bare := bareNode(text)
			return Node{Kind: Scalar, Value: text, Quoted: !l.takesBare(bare.literal())}, true
		},
	}
}

func (l leaf[T]) takes(lit literal) bool {
	if lit == textual {
		return l.shape.form == textForm
	}
	return l.takesBare(lit)
}

func (l leaf[T]) takesBare(lit literal) bool {
	switch lit {
	case numeric:
		return l.shape.form == integerForm || l.shape.numbers || l.numbersToo
	case flagged:
		return l.shape.form == flagForm || l.shape.flags
	default:
		return false
	}
}

// wantInstead adds what to do when only the quotes are wrong.
func (l leaf[T]) wantInstead(n Node) string {
	if n.Kind != Scalar {
		return l.want
	}
	if n.literal() != textual {
		return l.want + ", in quotes"
	}
	bare := bareNode(n.Value)
	if n.Quoted && l.takesBare(bare.literal()) {
		return l.want + ", without quotes"
	}
	return l.want
}

// list returns a rule for at most itemsMax items, each of which begins as start.
func list[T any](item rule[T], start T, itemsMax int) rule[[]T] {
	return rule[[]T]{
		shape: shape{form: listForm, items: &item.shape},
		read: func(d *decoder, field string, n Node, into *[]T) {
			if !d.expect(n, field, List) {
				return
			}
			if len(n.Items) > itemsMax {
				d.report(n, field, "found %d items; want at most %d", len(n.Items), itemsMax)
				return
			}
			*into = nil
			for i, node := range n.Items {
				value, name := start, fmt.Sprintf("%s[%d]", field, i)
				d.places[name] = node
				item.read(d, name, node, &value)
				*into = append(*into, value) // a bad one too, so that the indexes fit the document
			}
		},
		tree: func(k Kind, from *[]T) (Node, bool) {
			list := listNode()
			for i := range *from {
				node, _ := item.tree(k, &(*from)[i])
				list.Items = append(list.Items, node)
			}
			return list, len(list.Items) > 0
		},
	}
}

// either returns a rule that reads a scalar by one rule and all else by the
// other, and writes by short where that is enough.
func either[T any](short, long rule[T], enough func(*T) bool) rule[T] {
	return rule[T]{
		shape: shape{form: eitherForm, either: []shape{short.shape, long.shape}},
		read: func(d *decoder, field string, n Node, into *T) {
			if n.Kind == Map || n.Kind == List && long.shape.form == listForm {
				long.read(d, field, n, into)
				return
			}
			short.read(d, field, n, into)
		},
		tree: func(k Kind, from *T) (Node, bool) {
			if enough(from) {
				return short.tree(k, from)
			}
			return long.tree(k, from)
		},
	}
}

// distinct reports each item of a list that is there already. Items without a
// key are passed over.
func distinct[T any](d *decoder, field string, items []T, key func(T) string) {
	var seen []string
	for i, item := range items {
		k := key(item)
		if k != "" && slices.Contains(seen, k) {
			d.problemAt(fmt.Sprintf("%s[%d]", field, i), "%s is there already", k)
		}
		seen = append(seen, k)
	}
}

// enumerated joins names for a message: a, b or c.
func enumerated(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
