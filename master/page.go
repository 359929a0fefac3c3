package master

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Page sizes of lists.
const (
	pageDefault  = 100
	pageMax      = 1000
	tasksPageMax = 5000      // of tasks, of which there may be very many
	pageBytesMax = 768 << 10 // a page of tasks has about so much at most, and is shorter then
)

// tokenMark begins every page token, so that a text that is none is told.
const tokenMark = "p1."

func tokenText() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// pageRequest is what the requests of all lists have.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// pageOf returns the page of a list that is asked for, and the token of the next
// one, "" after the last. The list comes in any order, and is sorted by name.
// A token holds the last name of the page before it: it stays right when items
// come and go. Names are unique in the list.
func pageOf[T any](list []T, req pageRequest, name func(T) string) ([]T, string, error) {
	size, err := pageSize(req.GetPageSize(), pageMax)
	if err != nil {
		return nil, "", err
	}
	after, err := readToken(req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	if after != "" {
		list = slices.DeleteFunc(list, func(item T) bool { return name(item) <= after })
	}
	page, next := firstPage(firstOf(list, size+1, name), size, name)
	return page, next, nil
}

// firstOf returns the first items of a list by their names, in that order, without sorting
// the others. It changes the order of the list.
func firstOf[T any](list []T, most int, name func(T) string) []T {
	byName := func(a, b T) int { return strings.Compare(name(a), name(b)) }
	first := list[:min(most, len(list))]
	slices.SortFunc(first, byName)
	// A batch of as many is sorted into the first, and what is not of them any more is
	// forgotten, so that the list is gone through once.
	kept := slices.Clip(first)
	for batch := range slices.Chunk(list[len(first):], max(most, 1)) {
		last := kept[len(kept)-1]
		batch = slices.DeleteFunc(batch, func(item T) bool { return byName(item, last) > 0 })
		if len(batch) > 0 {
			kept = append(kept, batch...)
			slices.SortFunc(kept, byName)
			kept = kept[:most:most]
		}
	}
	return kept
}

// firstPage returns the first page of a sorted list, and the token of the next one.
func firstPage[T any](list []T, size int, name func(T) string) ([]T, string) {
	if len(list) <= size {
		return list, ""
	}
	return list[:size], tokenAfter(name(list[size-1]))
}

// tokenAfter returns the token of the page that goes on after a name.
func tokenAfter(name string) string { return tokenMark + tokenText().EncodeToString([]byte(name)) }

func readToken(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	text, marked := strings.CutPrefix(token, tokenMark)
	name, err := tokenText().DecodeString(text)
	if !marked || err != nil {
		return "", invalidArgument(errors.New("page_token: it is not one that a list of this cluster gave"))
	}
	return string(name), nil
}

// pageSize returns how many items a page has. More than the most is the most.
func pageSize(asked int32, most int) (int, error) {
	switch {
	case asked < 0:
		return 0, invalidArgument(fmt.Errorf("page_size: found %d; want 1 to %d, or 0 for %d", asked, most, pageDefault))
	case asked == 0:
		return pageDefault, nil
	default:
		return min(int(asked), most), nil
	}
}
