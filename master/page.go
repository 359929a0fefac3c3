package master

import (
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
)

// Page sizes of lists.
const (
	pageDefault = 100
	pageMax     = 1000
)

// pageOf cuts the page after token out of a list. The token is the name of the
// last item of the page before: it stays right when items come and go. Names
// are unique in the list, and compare gives the list's order.
func pageOf[T any](list []T, size int32, token string, name func(T) string) ([]T, string, error) {
	if size < 0 || size > pageMax {
		return nil, "", connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("page_size: found %d; want 1 to %d, or 0 for %d", size, pageMax, pageDefault))
	}
	if size == 0 {
		size = pageDefault
	}
	begin := 0
	if token != "" {
		i, found := slices.BinarySearchFunc(list, token, func(item T, token string) int {
			return strings.Compare(name(item), token)
		})
		begin = i
		if found {
			begin++
		}
	}
	end := min(len(list), begin+int(size))
	next := ""
	if end < len(list) && end > begin {
		next = name(list[end-1])
	}
	return list[begin:end], next, nil
}

// sortByName orders a list for pageOf.
func sortByName[T any](list []T, name func(T) string) {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(name(a), name(b)) })
}
