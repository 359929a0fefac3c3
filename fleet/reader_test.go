package fleet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// readerVariable makes this program a reader of the API at the addresses of probeVariable. It
// says what it is to read. A reader has a heap of its own, as those of users have, and not the
// one of all agents.
const readerVariable = "ALOFT_READER"

// What a reader reads: all pages of a list of tasks, or the first answer of a watch.
const (
	theList  = "list"
	theWatch = "watch"
)

// reader is a process that reads all tasks.
type reader struct {
	command *exec.Cmd
	input   io.WriteCloser
	output  *json.Decoder
	size    int // of all messages, in bytes
}

// read is what a reader has found of a time that it read all.
type read struct {
	Size  int
	Tasks int // or records
	Took  time.Duration
}

// reader starts one, which has read all once then.
func (c *masters) reader(what string) *reader {
	c.Helper()
	r := &reader{command: c.another(readerVariable + "=" + what)}
	input, err := r.command.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	output, err := r.command.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := r.command.Start(); err != nil {
		c.Fatal(err)
	}
	r.input, r.output = input, json.NewDecoder(output)
	r.size = r.next(c.B).Size
	return r
}

// several returns the middle of how long it takes to read all, of which there must be so much.
func (r *reader) several(b *testing.B, times, tasks int) time.Duration {
	b.Helper()
	var took []time.Duration
	for range times {
		if _, err := fmt.Fprintln(r.input); err != nil {
			b.Fatal(err)
		}
		found := r.next(b)
		if found.Tasks < tasks {
			b.Fatalf("of %d tasks it reads %d", tasks, found.Tasks)
		}
		took = append(took, found.Took)
	}
	return middle(took)
}

// next waits until it has read all once more.
func (r *reader) next(b *testing.B) (found read) {
	b.Helper()
	if err := r.output.Decode(&found); err != nil {
		b.Fatal(err)
	}
	return found
}

// stop ends it.
func (r *reader) stop(b *testing.B) {
	b.Helper()
	_ = r.input.Close()
	if err := r.command.Wait(); err != nil {
		b.Fatal(err)
	}
}

// serveReader reads all, and once more for each line of the input, until that ends. It prints
// what it has found each time, the size of the messages for the first.
func serveReader(addresses []string, what string) error {
	c, err := client.New(addresses...)
	if err != nil {
		return err
	}
	defer c.Close()
	readAll := readList
	if what == theWatch {
		readAll = readWatch
	}
	output, size := json.NewEncoder(os.Stdout), 0
	tasks, err := readAll(context.Background(), c, func(m proto.Message) { size += proto.Size(m) }) // which takes a quarter as long as reading it
	found := read{Size: size, Tasks: tasks}
	for lines := bufio.NewScanner(os.Stdin); err == nil; {
		if err = output.Encode(found); err != nil || !lines.Scan() {
			break
		}
		began := time.Now()
		found.Tasks, err = readAll(context.Background(), c, func(proto.Message) {})
		found.Took = time.Since(began)
	}
	return err
}

// readList reads all pages of tasks.
func readList(ctx context.Context, c *client.Client, take func(proto.Message)) (tasks int, err error) {
	err = eachPage(ctx, c, func(page *pb.ListTasksResponse) {
		tasks += len(page.GetTasks())
		take(page)
	})
	return tasks, err
}

// eachPage reads the pages of a list of all tasks.
func eachPage(ctx context.Context, c *client.Client, take func(*pb.ListTasksResponse)) error {
	for token, first := "", true; first || token != ""; first = false {
		page, err := c.Cluster().ListTasks(ctx, connect.NewRequest(&pb.ListTasksRequest{PageSize: 5_000, PageToken: token}))
		if err != nil {
			return err
		}
		take(page.Msg)
		token = page.Msg.GetNextPageToken()
	}
	return nil
}

// readWatch reads what a watch tells first.
func readWatch(ctx context.Context, c *client.Client, take func(proto.Message)) (records int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stream, err := c.Cluster().Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil {
		return 0, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		records += len(stream.Msg().GetChanges())
		take(stream.Msg())
		if stream.Msg().GetSynced() {
			return records, nil
		}
	}
	return records, stream.Err()
}
