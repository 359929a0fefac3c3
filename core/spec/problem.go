package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// problemsMax bounds how many problems of one document are told, so that a file
// of another kind does not fill the screen.
const problemsMax = 1000

// Problem is one thing that is wrong with a document.
type Problem struct {
	Line, Column int    // where it is, from 1; 0 when that is not known
	Field        string // such as deploy.surge or ports[1].number; "" for the whole document
	Message      string // what was found, and what would be right
}

// String returns the problem on one line.
func (p Problem) String() string {
	var text strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&text, "line %d: ", p.Line)
	}
	if p.Field != "" {
		text.WriteString(p.Field + ": ")
	}
	text.WriteString(p.Message)
	return text.String()
}

// Problems is all that is wrong with a document, in the order of its lines.
type Problems []Problem //nolint:errname // one error that is many problems

// Error returns each problem on a line of its own.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// sorted returns the problems in the order of their places, at most problemsMax.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(p) <= problemsMax {
		return p
	}
	last := p[problemsMax]
	more := fmt.Sprintf("%d more problems follow", len(p)-problemsMax)
	return append(p[:problemsMax:problemsMax], Problem{Line: last.Line, Column: last.Column, Message: more})
}
