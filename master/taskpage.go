package master

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

const (
	// taskBytesUsual is about what a task takes in an answer.
	taskBytesUsual = 200
	// halvedFrom is for how many tasks of a page a second processor is worth it.
	halvedFrom = 500
)

// listed is tasks as they stand in an answer.
type listed struct {
	text []byte
	ends []int // of each in the text
	err  error
}

// halves are halves of pages whose bytes have been taken, all empty. Who reads all of a large cluster would
// else have the heap grow by all that is read, and to touch a page of memory that is new can take
// longer than to write the tasks on it.
var halves = sync.Pool{New: func() any { return new(listed) }} //nolint:gochecknoglobals // a pool is the process's

// encodeTasks returns a page, or its beginning where it would be too large for one
// message, and the token of the next one. Whoever reads all pages waits for each, so
// the halves of a large one are written side by side.
func encodeTasks(page []*engine.Task, next string) (*encoded[pb.ListTasksResponse], error) {
	a, b := halves.Get().(*listed), halves.Get().(*listed)
	half := len(page)
	var beside sync.WaitGroup
	if len(page) >= halvedFrom {
		half /= 2
		beside.Go(func() { b.list(page[half:]) })
	}
	a.list(page[:half])
	beside.Wait()
	if len(a.text) >= pageBytesMax {
		b.clear()
	}
	b.cut(pageBytesMax - len(a.text))
	if err := cmp.Or(a.err, b.err); err != nil {
		return nil, err
	}
	if n := len(a.ends) + len(b.ends); n < len(page) {
		next = tokenAfter(string(page[n-1].ID))
	}
	rest, err := proto.Marshal(&pb.ListTasksResponse{NextPageToken: next})
	taken := func() {
		for _, half := range []*listed{a, b} {
			half.clear()
			halves.Put(half)
		}
	}
	return &encoded[pb.ListTasksResponse]{parts: [][]byte{a.text, b.text, rest}, taken: taken}, err
}

func (l *listed) clear() { l.text, l.ends, l.err = l.text[:0], l.ends[:0], nil }

// list lists tasks, where none is yet, until a page is full.
func (l *listed) list(tasks []*engine.Task) {
	l.text = slices.Grow(l.text, min(taskBytesUsual*len(tasks), pageBytesMax))
	l.ends = slices.Grow(l.ends, len(tasks))
	for _, t := range tasks {
		text, err := wire.AppendListed(l.text, t)
		if err != nil {
			l.err = fmt.Errorf("task %s: %w", t.ID, err)
			return
		}
		l.text, l.ends = text, append(l.ends, len(text))
		if len(text) >= pageBytesMax {
			return
		}
	}
}

// cut leaves out what follows the first task at which the text is as long as most. A break
// behind that is none.
func (l *listed) cut(most int) {
	if full, _ := slices.BinarySearch(l.ends, most); full < len(l.ends) {
		l.ends = l.ends[:full+1]
		l.text, l.err = l.text[:l.ends[full]], nil
	}
}
