package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// fake is a master that answers every call of the contract with what a test
// says, and keeps what it was asked.
type fake struct {
	url       string
	clock     *clock
	interrupt context.CancelFunc // nil where nothing is interrupted

	mu      sync.Mutex // guards all below
	answers map[string][]string
	asked   []string
	more    chan struct{} // closed and made anew with each call
}

// startFake starts a master. Its answers are JSON, by method: the first call
// gets the first, and the last is for all that follow. Of a method without any
// it is that of testdata/answers. An answer such as "error not_found: text" is
// an error, and one that begins with "after 2s " sets the clock forward first. A
// stream sends the messages that stand one on a line in an answer; the line
// "hold" keeps it open, "asked Logs 3" waits for so many calls of a method, and
// "interrupt", which may be an answer as well, is a Ctrl-C.
func startFake(t *testing.T, answers map[string][]string) *fake {
	t.Helper()
	f := &fake{answers: make(map[string][]string), more: make(chan struct{}), clock: &clock{now: noon}}
	maps.Copy(f.answers, answers)
	mux := http.NewServeMux()
	methods := pb.File_aloft_v1_cluster_proto.Services().ByName("ClusterService").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		path := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
		mux.Handle(path, f.handler(path, m))
	}
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	f.url = server.URL
	return f
}

// handler serves one method.
func (f *fake) handler(path string, m protoreflect.MethodDescriptor) http.Handler {
	options := []connect.HandlerOption{
		connect.WithSchema(m),
		connect.WithRequestInitializer(func(_ connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(m.Input())
			return nil
		}),
	}
	if m.IsStreamingServer() {
		return connect.NewServerStreamHandler(path, func(ctx context.Context, req *connect.Request[dynamicpb.Message], stream *connect.ServerStream[dynamicpb.Message]) error {
			return f.stream(ctx, f.next(m, req.Msg), m, stream)
		}, options...)
	}
	return connect.NewUnaryHandler(path, func(_ context.Context, req *connect.Request[dynamicpb.Message]) (*connect.Response[dynamicpb.Message], error) {
		answer, err := f.parse(f.next(m, req.Msg), m)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(answer), nil
	}, options...)
}

// next notes a request and returns what it is answered with.
func (f *fake) next(m protoreflect.MethodDescriptor, request proto.Message) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := string(m.Name())
	f.asked = append(f.asked, name+" "+compact(request))
	close(f.more)
	f.more = make(chan struct{})
	list, ok := f.answers[name]
	if !ok {
		text, err := os.ReadFile(filepath.Join("testdata", "answers", name+".json"))
		if err != nil {
			return "error unimplemented: " + name + " has no answer"
		}
		return string(text)
	}
	if len(list) > 1 {
		f.answers[name] = list[1:]
	}
	return list[0]
}

// parse reads an answer.
func (f *fake) parse(text string, m protoreflect.MethodDescriptor) (*dynamicpb.Message, error) {
	text = f.pass(text)
	if text == "interrupt" {
		f.interrupt()
		return dynamicpb.NewMessage(m.Output()), nil
	}
	if rest, refused := strings.CutPrefix(text, "error "); refused {
		name, message, _ := strings.Cut(rest, ": ")
		var code connect.Code
		if err := code.UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
		return nil, connect.NewError(code, errors.New(message))
	}
	answer := dynamicpb.NewMessage(m.Output())
	if err := protojson.Unmarshal([]byte(text), answer); err != nil {
		return nil, fmt.Errorf("the test's answer to %s: %w", m.Name(), err)
	}
	return answer, nil
}

// pass sets the clock forward if text says so, and returns the rest of it.
func (f *fake) pass(text string) string {
	rest, ok := strings.CutPrefix(text, "after ")
	if !ok {
		return text
	}
	span, rest, _ := strings.Cut(rest, " ")
	d, err := time.ParseDuration(span)
	if err != nil {
		return "error internal: " + err.Error()
	}
	f.clock.forward(d)
	return rest
}

func (f *fake) stream(ctx context.Context, script string, m protoreflect.MethodDescriptor, stream *connect.ServerStream[dynamicpb.Message]) error {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if line == "hold" {
			<-ctx.Done()
			return nil
		}
		if line == "interrupt" {
			f.interrupt()
			continue
		}
		if method, ok := strings.CutPrefix(line, "asked "); ok {
			f.await(ctx, method)
			continue
		}
		message, err := f.parse(line, m)
		if err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a method was called so many times, as in "Logs 3".
func (f *fake) await(ctx context.Context, text string) {
	method, number, _ := strings.Cut(text, " ")
	times, err := strconv.Atoi(number)
	for err == nil && ctx.Err() == nil {
		f.mu.Lock()
		called, more := 0, f.more
		for _, asked := range f.asked {
			if strings.HasPrefix(asked, method+" ") {
				called++
			}
		}
		f.mu.Unlock()
		if called >= times {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

// taken returns what was asked since the last call.
func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// compact returns a message as JSON in a form that does not change.
func compact(m proto.Message) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err.Error()
	}
	return fileText.ReplaceAllStringFunc(line.String(), func(field string) string {
		text, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimPrefix(field, `"text":`), `"`))
		if err != nil {
			return field
		}
		return `"text":` + strconv.Quote(string(text))
	})
}

// fileText finds the text of a spec file in a request.
var fileText = regexp.MustCompile(`"text":"[A-Za-z0-9+/=]*"`)

// clock is the time of a test: it stands still unless it is set forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// noon is when every test begins, two hours east of Greenwich.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).In(time.FixedZone("east", 2*60*60))

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
