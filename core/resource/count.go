package resource

import "strconv"

// Count prints how many things there are, for people, as in "1 task" or
// "4 tasks". The noun must be a regular one.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
