package router_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
	"github.com/aloft-run/aloft/router/upstream"
)

// absent are masters that nobody reaches.
type absent struct{ asked atomic.Int64 }

func (m *absent) Follow(context.Context, <-chan route.Confirmation, func(route.Table)) error {
	m.asked.Add(1)
	return errors.New("no master is there")
}

// fickle is an instance that accepts connections except when it does not.
type fickle struct {
	name             string
	down             atomic.Bool
	asked, connected atomic.Int64
}

func (f *fickle) Exchange(req *http.Request) (*http.Response, error) {
	if f.down.Load() {
		return nil, &upstream.Error{Reach: upstream.Unreached, Err: syscall.ECONNREFUSED}
	}
	f.asked.Add(1)
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		ContentLength: int64(len(f.name)), Body: io.NopCloser(strings.NewReader(f.name)),
	}, nil
}

func (f *fickle) Connect(context.Context) error {
	f.connected.Add(1)
	if f.down.Load() {
		return syscall.ECONNREFUSED
	}
	return nil
}

func (*fickle) Sweep(time.Time) upstream.State { return upstream.State{} }
func (*fickle) Drop(upstream.Extent)           {}
func (*fickle) Close()                         {}

// TestAnHourWithoutMasters: a router that has only its table serves it, takes out
// an instance that dies, tries it about once a second, and takes it back.
func TestAnHourWithoutMasters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		instances := map[string]*fickle{"10.0.0.1:80": {name: "one"}, "10.0.0.2:80": {name: "two"}}
		service := hello(route.Endpoint{Task: "t1", Revision: 1, Address: "10.0.0.1:80"}, route.Endpoint{Task: "t2", Revision: 1, Address: "10.0.0.2:80"})
		clients, masters := newPipes(), new(absent)
		r, err := router.New(router.Config{
			ID: "r1", Listener: clients, Table: route.Table{Version: route.Version{Epoch: 1, Seq: 1}, Services: []route.Service{service}},
			Reach: func(address string) router.Upstream { return instances[address] },
		}, masters)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		second := instances["10.0.0.2:80"]
		pass := func(minutes int) {
			for range 60 * minutes {
				if got := clients.ask(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"); got.status != http.StatusOK {
					t.Fatalf("answer %d %q", got.status, got.body)
				}
				time.Sleep(time.Second)
			}
		}

		pass(10)
		second.down.Store(true)
		pass(40)
		if tried := second.connected.Load(); tried < 30*60 || tried > 41*60 || !r.Status().Services[0].Endpoints[1].Ejected {
			t.Errorf("%d connections were tried in 40 min; %+v", tried, r.Status())
		}
		second.down.Store(false)
		before := second.asked.Load()
		pass(10)

		if second.asked.Load() < before+100 || r.Status().Services[0].Endpoints[1].Ejected {
			t.Errorf("the instance that came back got %d of 600 requests; %+v", second.asked.Load()-before, r.Status())
		}
		if asked := masters.asked.Load(); asked < 2400 || asked > 7200 {
			t.Errorf("masters were looked for %d times, want about every second", asked)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
}
