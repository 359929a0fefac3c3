package spec

import (
	"fmt"
	"slices"
	"strings"
)

// widthMax is how long a line may be before a value is spread over several.
const widthMax = 100

// Encode returns the spec as a YAML document with every field spelled out. Read
// again, it gives the same spec.
func Encode(s *Spec) string {
	var out strings.Builder
	writeMap(&out, treeOf(s), 0)
	return out.String()
}

// treeOf returns the spec as a document.
func treeOf(s *Spec) Node {
	tree, _ := documentRule().tree(s.Kind, s)
	return tree
}

// writeMap writes a map with one key on each line.
func writeMap(out *strings.Builder, n Node, indent int) {
	for _, e := range n.Entries {
		key := strings.Repeat(" ", indent) + flow(e.Key) + ":"
		out.WriteString(key)
		writeValue(out, e.Value, indent+2, widthMax-len(key))
	}
}

// writeList writes a list with one item on each line.
func writeList(out *strings.Builder, n Node, indent int) {
	for _, item := range n.Items {
		dash := strings.Repeat(" ", indent) + "-"
		out.WriteString(dash)
		if item.Kind == Map && len(flow(item)) > widthMax-len(dash) {
			var inner strings.Builder
			writeMap(&inner, item, indent+2)
			out.WriteString(" " + strings.TrimLeft(inner.String(), " "))
			continue
		}
		writeValue(out, item, indent+2, widthMax-len(dash))
	}
}

// writeValue writes what stands behind a key or a dash: on the same line if it
// is not wider than width.
func writeValue(out *strings.Builder, n Node, indent, width int) {
	line := flow(n)
	switch {
	case n.Kind == Scalar && isBlock(n):
		writeBlock(out, n.Value, indent)
	case n.Kind == Scalar || len(line) <= width:
		out.WriteString(" " + line + "\n")
	case n.Kind == Map:
		out.WriteString("\n")
		writeMap(out, n, indent)
	default:
		out.WriteString("\n")
		writeList(out, n, indent)
	}
}

// isBlock reports whether a text of several lines reads back the same when its
// lines are written as they are.
func isBlock(n Node) bool {
	text := n.Value
	body := strings.TrimSuffix(text, "\n")
	if !n.Quoted || !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") {
		return false
	}
	if strings.ContainsFunc(body, func(r rune) bool { return r != '\n' && !isPrintable(r) }) {
		return false
	}
	lines := strings.Split(body, "\n")
	return lines[0] != "" && !strings.HasPrefix(lines[0], " ") && !slices.ContainsFunc(lines, func(line string) bool {
		return strings.HasSuffix(line, " ")
	})
}

func writeBlock(out *strings.Builder, text string, indent int) {
	body, closed := strings.CutSuffix(text, "\n")
	mark := " |-\n"
	if closed {
		mark = " |\n"
	}
	out.WriteString(mark)
	for line := range strings.SplitSeq(body, "\n") {
		if line != "" {
			out.WriteString(strings.Repeat(" ", indent))
		}
		out.WriteString(line + "\n")
	}
}

// flow returns the node on one line.
func flow(n Node) string {
	switch n.Kind {
	case Scalar:
		if n.Quoted {
			return scalarText(n.Value)
		}
		return n.Value
	case List:
		items := make([]string, len(n.Items))
		for i, item := range n.Items {
			items[i] = flow(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case Map:
		entries := make([]string, len(n.Entries))
		for i, e := range n.Entries {
			entries[i] = flow(e.Key) + ": " + flow(e.Value)
		}
		return "{" + strings.Join(entries, ", ") + "}"
	default:
		return "null"
	}
}

// scalarText returns a text so that YAML reads it as text.
func scalarText(text string) string {
	// YAML 1.1 took some words for flags, and some tools still do.
	words := []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
	bare, body := bareNode(text), strings.TrimLeft(text, ".-")
	plain := isWord(text, "._/+%@-") && body != "" && isWord(body[:1], "/") &&
		bare.literal() == textual && !slices.Contains(words, strings.ToLower(text))
	if plain {
		return text
	}
	return quoted(text)
}

// quoted returns a text in double quotes.
func quoted(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case isPrintable(r):
			out.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// isPrintable reports whether YAML and JSON take the character as it is, and
// do not take it for a line break or a mark.
func isPrintable(r rune) bool {
	switch {
	case r < ' ' || 0x7f <= r && r <= 0xa0:
		return false
	case r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff:
		return false
	default:
		return true
	}
}
