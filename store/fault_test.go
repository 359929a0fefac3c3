package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/store"
)

func TestLostAnswerIsInDoubt(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	between := newProxy(t, socket)
	term := campaign(t, open(t, store.Config{Endpoints: []string{between.url}, LeaseTTL: 3 * time.Second}), "one")
	put(t, term, "b", "1") // before the first commit of a term all is read
	between.muteAnswers()
	impatient := fmt.Errorf("waited enough")
	ctx, stop := context.WithCancelCause(t.Context())
	committed := make(chan error)
	go func() {
		_, err := term.Commit(ctx, []store.Op{{Key: "a", Value: []byte("1")}})
		committed <- err
	}()
	awaitChange(t, socket, "/aloft/data/a", int64(term.Epoch())) // it is written all the same

	stop(impatient)

	err := <-committed
	wantWords(t, err, store.ErrInDoubt, "commit of 1 operations")
	wantWords(t, err, impatient)

	_, err = term.Commit(t.Context(), []store.Op{{Key: "b", Value: []byte("2")}}) // ends with the lease

	wantWords(t, err, store.ErrDeposed)
	if errors.Is(err, store.ErrInDoubt) {
		t.Errorf("what was not begun is in doubt: %v", err)
	}
	<-term.Lost()
}

// TestLostAnswerIsAskedForAgain loses the answer to a commit, and then the
// connection.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	between := newProxy(t, socket)
	term := campaign(t, open(t, store.Config{Endpoints: []string{between.url}, LeaseTTL: time.Minute}), "one")
	put(t, term, "b", "1") // before the first commit of a term all is read
	between.muteAnswers()
	type outcome struct {
		revision int64
		err      error
	}
	committed := make(chan outcome)
	go func() {
		revision, err := term.Commit(t.Context(), []store.Op{{Key: "a", Value: []byte("1")}})
		committed <- outcome{revision, err}
	}()
	awaitChange(t, socket, "/aloft/data/a", int64(term.Epoch())) // it was written

	between.breakConnections()

	written, err := etcdClient(t, socket).Get(t.Context(), "/aloft/data/a")
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{revision: written.Kvs[0].ModRevision}
	if got := <-committed; got != want || written.Kvs[0].Version != 1 {
		t.Errorf("Commit = %v, want %v; it was written %d times", got, want, written.Kvs[0].Version)
	}
	put(t, term, "a", "2")
}

func TestRefusalIsNotInDoubt(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	beyond := store.Limits{Ops: 20_000, Bytes: 1 << 20, Packed: 1 << 20} // more operations than the member takes
	term := campaign(t, open(t, store.Config{Endpoints: []string{socket}, Limits: beyond}), "one")
	ops := make([]store.Op, 10_001)
	for i := range ops {
		ops[i] = store.Op{Key: fmt.Sprint(i)}
	}

	_, err := term.Commit(t.Context(), ops)

	wantWords(t, err, nil, "too many operations")
	if strings.Contains(err.Error(), store.ErrInDoubt.Error()) {
		t.Errorf("in doubt: %v", err)
	}
	if got := load(t, term); got != "" {
		t.Errorf("a refused group left %q", got)
	}

	large := store.Op{Key: "large", Value: make([]byte, 1<<20-100)} // fills a part of its own
	_, err = term.Commit(t.Context(), append([]store.Op{large}, ops...))

	wantWords(t, err, store.ErrInDoubt, "1 of 10002 operations were written", "too many operations")
}

func TestClosingEndsCommits(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{DataDir: t.TempDir()})
	term := campaign(t, s, "one")
	var committing sync.WaitGroup
	errs, begun := make(chan error, 4), make(chan struct{}, 4) // one of each for each committer
	for i := range 4 {
		committing.Go(func() {
			var err error
			for n := 0; err == nil; n++ {
				_, err = term.Commit(t.Context(), []store.Op{{Key: fmt.Sprint(i), Value: []byte(fmt.Sprint(n))}})
				if n == 0 {
					begun <- struct{}{}
				}
			}
			errs <- err
		})
	}
	for range 4 {
		<-begun
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	committing.Wait()
	for range 4 {
		wantWords(t, <-errs, store.ErrClosed)
	}
}

func TestLoadOfLargePages(t *testing.T) {
	t.Parallel()
	const many, size = 1_200, 16 << 10 // the first page is above what a page aims at
	term := campaign(t, open(t, store.Config{DataDir: t.TempDir()}), "one")
	ops := make([]store.Op, many)
	for i := range ops {
		ops[i] = store.Op{Key: fmt.Sprintf("%04d", i), Value: make([]byte, size)}
	}
	if _, err := term.Commit(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	next := 0

	_, err := term.Load(t.Context(), "", func(key string, value []byte) error {
		if key != ops[next].Key || len(value) != size {
			return fmt.Errorf("pair %d is %s with %d bytes", next, key, len(value))
		}
		next++
		return nil
	})

	if err != nil || next != many {
		t.Errorf("Load = %v after %d pairs of %d", err, next, many)
	}
}

// committerDir, when set, makes this test's program the process that
// TestKilledProcess kills.
const committerDir = "ALOFT_STORE_TEST_COMMITTER"

// committerPacked is from how many operations on it writes packs.
const committerPacked = "ALOFT_STORE_TEST_PACKED"

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	for name, packed := range map[string]int{"keys alone": 0, "keys in packs": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killCommitter(t, packed)
		})
	}
}

func killCommitter(t *testing.T, packed int) {
	t.Helper()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), committerDir+"="+dir, committerPacked+"="+strconv.Itoa(packed))
	child.Stderr = t.Output()
	acknowledged, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines, count := bufio.NewScanner(acknowledged), 0
	for lines.Scan() {
		if count++; count == 50 {
			_ = child.Process.Kill() // SIGKILL; lines that are already written still count
		}
	}
	_ = child.Wait() // it was killed
	if count < 50 {
		t.Fatalf("the process ended by itself after %d commits", count)
	}

	term := campaign(t, open(t, store.Config{DataDir: dir, LeaseTTL: time.Hour}), "next")

	kept := strings.Fields(load(t, term))
	if len(kept) < count {
		t.Errorf("%d commits were acknowledged, %d are kept", count, len(kept))
	}
}

// commitForever acknowledges each commit with a line.
func commitForever(dir string) error {
	ctx := context.Background()
	packed, err := strconv.Atoi(os.Getenv(committerPacked))
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{DataDir: dir, LeaseTTL: time.Hour, Limits: store.Limits{Packed: packed}})
	if err != nil {
		return err
	}
	term, err := s.Campaign(ctx, "killed")
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if _, err := term.Commit(ctx, []store.Op{{Key: strconv.Itoa(n), Value: []byte("x")}}); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, n)
	}
}

// proxy stands between a client and a server on unix sockets.
type proxy struct {
	url    string
	target string

	mu    sync.Mutex
	muted bool
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{url: newSocket(t), target: strings.TrimPrefix(target, "unix://")}
	listener, err := net.Listen("unix", strings.TrimPrefix(p.url, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.breakConnections()
		serving.Wait()
	})
	return p
}

// muteAnswers lets requests through and swallows what the server says.
func (p *proxy) muteAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

// breakConnections ends those that are there. New ones are served.
func (p *proxy) breakConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = false
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", p.target)
	if err != nil {
		return // the client sees its connection closed
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var answering sync.WaitGroup
	answering.Go(func() { p.answer(client, server) })
	_, _ = io.Copy(server, client) // until either side closes
	_ = server.Close()
	answering.Wait()
}

func (p *proxy) answer(client io.Writer, server io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		muted := p.muted
		p.mu.Unlock()
		if muted {
			continue
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
