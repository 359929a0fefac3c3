package spec

import "strings"

// toJSON returns the node as JSON, indented by two spaces.
func toJSON(n Node) string {
	var out strings.Builder
	writeJSON(&out, n, "\n")
	out.WriteByte('\n')
	return out.String()
}

// writeJSON writes n; margin is a line break and the indent of the line that n
// stands on.
func writeJSON(out *strings.Builder, n Node, margin string) {
	deeper := margin + "  "
	switch {
	case n.Kind == Scalar && n.Quoted:
		out.WriteString(quoted(n.Value))
	case n.Kind == Scalar:
		out.WriteString(n.Value)
	case n.Kind == List:
		out.WriteByte('[')
		for i, item := range n.Items {
			writeSeparator(out, i, deeper)
			writeJSON(out, item, deeper)
		}
		out.WriteString(margin + "]")
	default:
		out.WriteByte('{')
		for i, e := range n.Entries {
			writeSeparator(out, i, deeper)
			out.WriteString(quoted(e.Key.Value) + ": ")
			writeJSON(out, e.Value, deeper)
		}
		out.WriteString(margin + "}")
	}
}

func writeSeparator(out *strings.Builder, i int, margin string) {
	if i > 0 {
		out.WriteByte(',')
	}
	out.WriteString(margin)
}
