package agent_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protodelim"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// journal is the log of an agent, which may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Reset forgets what was said.
func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// kept reads a task file.
func kept(path string) (*pb.KeptTask, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found *pb.KeptTask
	for from := bytes.NewReader(content); ; {
		var next pb.KeptTask
		err := protodelim.UnmarshalFrom(from, &next)
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, err
		case found == nil:
			found = &next
		default:
			found.Status = next.GetStatus()
		}
	}
}

// change changes a task file.
func change(t failer, path string, how func(*pb.KeptTask)) {
	t.Helper()
	found, err := kept(path)
	if err != nil {
		t.Fatal(err)
	}
	how(found)
	var content bytes.Buffer
	if _, err := protodelim.MarshalTo(&content, found); err != nil {
		t.Fatal(err)
	}
	write(t, path, content.String())
}

func write(t failer, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// touch makes an empty file.
func touch(t failer, path string) {
	t.Helper()
	write(t, path, "")
}

func contains(t failer, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("found %q; want %q in it", text, want)
	}
}
