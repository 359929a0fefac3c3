package spec

import (
	"fmt"
	"strings"
)

// suggestion returns the end of a message about an unknown name: the known name
// that is nearest, or all of them when none is near.
func suggestion(name string, known []string) string {
	if near, ok := nearest(name, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there is none"
	}
	return "known are " + strings.Join(known, ", ")
}

// nearest returns the first known name with the fewest edits from name, if that
// is few enough for a slip of the hand.
func nearest(name string, known []string) (string, bool) {
	const lengthMax = 63 // longer ones are not slips, and would take long
	if len(name) > lengthMax {
		return "", false
	}
	best, edits := "", max(1, len(name)/3)+1
	for _, candidate := range known {
		if n := distance(name, candidate); n < edits {
			best, edits = candidate, n
		}
	}
	return best, best != ""
}

// distance returns how many bytes must be put in, left out, replaced or swapped
// with their neighbour to turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
