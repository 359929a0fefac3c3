package specfile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/spec"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	File string
	spec.Problem
}

// String returns the problem with the name of its file.
func (p Problem) String() string {
	if p.File == "" {
		return p.Problem.String()
	}
	return p.File + ": " + p.Problem.String()
}

// Problems is all that is wrong with a file, in the order of its lines.
type Problems []Problem //nolint:errname // one error that is many problems

// Error returns the problems one below the other.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// problemsOf returns the problems as an error, nil if there are none.
func problemsOf(file string, found []spec.Problem) error {
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b spec.Problem) int { return cmp.Compare(a.Line, b.Line) })
	problems := make(Problems, len(found))
	for i, problem := range found {
		problems[i] = Problem{File: file, Problem: problem}
	}
	return problems
}
