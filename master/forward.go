package master

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

const (
	// LeaderHeader names the master that answered a call which another one handed
	// on to it.
	LeaderHeader = "Aloft-Leader"
	// forwardedHeader names the master that handed a call on. It is handed on once.
	forwardedHeader = "Aloft-Forwarded-By"
)

const (
	// leaderWithin is how long a call waits for somebody to lead: an election takes
	// seconds where machines are busy.
	leaderWithin = 10 * time.Second
	// reachWithin is how long it tries to reach a leader that is silent: perhaps only
	// this master cannot, and another one can.
	reachWithin = 5 * time.Second
	// lookAgainAfter is how long it waits after asking one that did not.
	lookAgainAfter = 20 * time.Millisecond
	// frameBytesMax is what a protocol may add to a message.
	frameBytesMax = 64 << 10
)

// errUnreached is the error for a leader to which there is no connection: nothing
// of the call was done, or it changes nothing.
var errUnreached = errors.New("the leader cannot be reached")

// handoff is a call on its way to the leader.
type handoff struct {
	to  leader
	err error // why no answer of the leader was passed on
}

// handoffKey is where the context of a call has its handoff.
type handoffKey struct{}

func handoffOf(req *http.Request) *handoff { return req.Context().Value(handoffKey{}).(*handoff) }

// isAway reports whether another master leads that can be reached.
func (m *Master) isAway(l leader) bool {
	return l.epoch != 0 && l.id != m.cfg.ID && l.address != ""
}

// forwarding serves calls here while this master leads, and has the leader answer
// them while another one does.
func (m *Master) forwarding(here http.Handler) http.Handler {
	proxy := m.forwarder()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isOwn(req) {
			here.ServeHTTP(w, req)
			return
		}
		if m.reign.Load() != nil {
			came := &tape{from: req.Body}
			req.Body = came
			if attempt(here, w, req) == nil {
				return
			}
			req.Body = came.again()
		}
		body, err := readCall(w, req)
		if err == nil {
			err = m.forward(w, req, body, proxy, here)
		}
		if err != nil {
			refuseCall(w, req, err)
		}
	})
}

// isOwn reports whether a call is served by the master that it came to: streams,
// which have relays, and what every master knows by itself.
func isOwn(req *http.Request) bool {
	switch req.URL.Path {
	case aloftv1connect.ClusterServiceWatchProcedure, aloftv1connect.ClusterServiceLogsProcedure,
		aloftv1connect.ClusterServiceBackupProcedure, aloftv1connect.ClusterServiceListMastersProcedure:
		return true
	default:
		return false
	}
}

// forward has a call answered by whoever leads, this master or another one. One
// that finds its leader gone waits a while for the next one: a master that was
// halted learns only by the first calls that it leads no more. After an error
// nothing was answered.
func (m *Master) forward(w http.ResponseWriter, req *http.Request, body []byte, proxy, here http.Handler) error {
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	p := patience{until: time.Now().Add(leaderWithin)}
	for {
		now, err := m.awaitLeader(req.Context(), p.until, req.Header)
		if err != nil {
			return err
		}
		req.Body, _ = req.GetBody() // it has no error
		asked := time.Now()
		if now.id == m.cfg.ID {
			err = attempt(here, w, req)
		} else {
			err = handOn(proxy, w, req, now)
		}
		if err == nil {
			return nil
		}
		switch {
		case isUndone(err):
		case wire.IsRead(req.URL.Path): // so is that, whatever has become of it
			err = fmt.Errorf("%w: %w", errUnreached, err)
		default:
			return fmt.Errorf("%w: %w", errInDoubt, err)
		}
		ends := p.endsAt(now, asked, err)
		m.lookAgain(req.Context())
		if next, _ := m.answerer(req.Header); req.Context().Err() != nil || next == now && time.Now().After(ends) {
			return err
		}
	}
}

// handOn has another master answer a call. After an error nothing was answered.
func handOn(proxy http.Handler, w http.ResponseWriter, req *http.Request, to leader) error {
	call := &handoff{to: to}
	proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), handoffKey{}, call)))
	return call.err
}

// patience is how long a call goes on looking for a leader. What it spends with
// one that then does not lead is no waiting of its own: that one may have been
// halted for longer than an election takes.
type patience struct {
	until time.Time // with nobody to ask
	tried leader    // which was asked last
	since time.Time // when it was asked first
}

// endsAt returns until when a call looks for another leader than one that was
// asked in vain.
func (p *patience) endsAt(l leader, asked time.Time, err error) time.Time {
	if l != p.tried {
		p.tried, p.since = l, asked
	}
	switch {
	case !errors.Is(err, errUnreached):
		p.until = p.until.Add(time.Since(asked))
	case !errors.Is(err, syscall.ECONNREFUSED):
		return p.since.Add(reachWithin)
	}
	return p.until
}

// tape is the body of a request that may have to be read once more.
type tape struct {
	from io.ReadCloser
	read bytes.Buffer
}

// Read reads on, and keeps what it reads.
func (t *tape) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.read.Write(p[:n])
	return n, err
}

// Close leaves the rest to be read.
func (*tape) Close() error { return nil }

// again returns all of the body.
func (t *tape) again() io.ReadCloser { return io.NopCloser(io.MultiReader(&t.read, t.from)) }

// attempt serves a call here. After ErrNoLeader nothing was answered, since this
// master does not lead.
func attempt(here http.Handler, w http.ResponseWriter, req *http.Request) error {
	before := w.Header().Clone()
	answer := &attempted{ResponseWriter: w}
	here.ServeHTTP(answer, req)
	answer.begin(http.StatusOK) // if there is but a header, as when gRPC says an error
	if !answer.refused {
		return nil
	}
	clear(w.Header())
	maps.Copy(w.Header(), before)
	return ErrNoLeader
}

// attempted keeps an answer from its client which says only that this master does
// not lead.
type attempted struct {
	http.ResponseWriter

	begun, refused bool
}

// Unwrap is for http.ResponseController.
func (a *attempted) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader begins the answer, or keeps it back.
func (a *attempted) WriteHeader(code int) { a.begin(code) }

// begin begins the answer, unless it has begun. gRPC says in a trailer why it has
// none.
func (a *attempted) begin(code int) {
	if a.begun {
		return
	}
	header := a.Header()
	a.begun, a.refused = true, header.Get(StandbyHeader) != "" || header.Get(http.TrailerPrefix+StandbyHeader) != ""
	if !a.refused {
		a.ResponseWriter.WriteHeader(code)
	}
}

// Write goes on with the answer.
func (a *attempted) Write(p []byte) (int, error) {
	a.begin(http.StatusOK)
	if a.refused {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// readCall reads all of a request, so that it can be sent more than once. From
// then on nothing of the client is waited for but that it reads.
func readCall(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, messageBytesMax+frameBytesMax))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("read the request: %w", err))
	}
	l := lineOf(req.Context())
	l.hearAnytime()
	l.sayAnytime() // the leader bounds its answer
	return body, nil
}

// lookAgain waits a moment, or until the leader changes: the one that was asked has
// gone, or has not begun yet.
func (m *Master) lookAgain(ctx context.Context) {
	_, changed := m.sight.get()
	pause := time.NewTimer(lookAgainAfter)
	defer pause.Stop()
	select {
	case <-changed:
	case <-pause.C:
	case <-ctx.Done():
	}
}

// awaitLeader returns who shall answer a call, once somebody can: it waits so long.
func (m *Master) awaitLeader(ctx context.Context, until time.Time, header http.Header) (leader, error) {
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		_, changed := m.sight.get()
		now, err := m.answerer(header)
		if err != nil || now != (leader{}) {
			return now, err
		}
		select {
		case <-changed:
			continue
		case <-m.closing:
		case <-waiting.Done():
		}
		select {
		case <-changed: // too: both are so where this process was halted
		default:
			return leader{}, ErrNoLeader
		}
	}
}

// answerer returns who shall answer a call; nobody while nobody is known to lead.
// Who handed a call on to a master that does not lead was wrong, and looks again.
func (m *Master) answerer(header http.Header) (leader, error) {
	now, _ := m.sight.get()
	switch {
	case m.reign.Load() != nil:
		return leader{id: m.cfg.ID}, nil
	case header.Get(forwardedHeader) != "":
		return leader{}, ErrNoLeader
	case m.isAway(now):
		return now, nil
	default:
		return leader{}, nil
	}
}

// forwarder hands calls on as they come. Streams have relays.
func (m *Master) forwarder() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if target, err := url.Parse(handoffOf(r.In).to.address); err == nil { // else the transport refuses it
				r.SetURL(target)
			}
			r.SetXForwarded()
			r.Out.Header.Set(forwardedHeader, m.cfg.ID)
		},
		Transport: m.away,
		ModifyResponse: func(answer *http.Response) error {
			if answer.Header.Get(StandbyHeader) != "" {
				return ErrNoLeader
			}
			answer.Header.Set(LeaderHeader, handoffOf(answer.Request).to.id)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, req *http.Request, err error) { handoffOf(req).err = err },
	}
}

// newAway returns the way to the other masters.
func (m *Master) newAway() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols:   protocols,
		DialContext: m.dialLeader,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: m.cfg.SilentAfter, PingTimeout: m.cfg.SilentAfter},
	}
}

// dialLeader connects to the API of another master.
func (m *Master) dialLeader(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.SilentAfter)
	defer cancel()
	conn, err := m.cfg.Dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	return conn, nil
}

// refuseCall answers a call that nobody else does.
func refuseCall(w http.ResponseWriter, req *http.Request, err error) {
	if isUndone(err) {
		w.Header().Set(StandbyHeader, "true")
	}
	refuse := connect.NewErrorWriter()
	if refuse.IsSupported(req) {
		_ = refuse.Write(w, req, apiError(err)) // a client that has left does not miss it
		return
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// isUndone reports whether an error says that nothing of a call was done, so that
// another master may be asked.
func isUndone(err error) bool { return errors.Is(err, ErrNoLeader) || errors.Is(err, errUnreached) }
