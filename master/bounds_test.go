package master_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/master"
)

// TestBounds hold what a handler of HTTP/2 reads and writes to the deadlines that it sets.
func TestBounds(t *testing.T) {
	t.Parallel()
	type deadlines = interface {
		SetReadDeadline(at time.Time) error
		SetWriteDeadline(at time.Time) error
	}
	read := func(_ http.ResponseWriter, req *http.Request) error {
		_, err := io.ReadAll(req.Body)
		return err
	}
	write := func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write(make([]byte, 32<<20)) // more than a client takes that does not read
		return err
	}
	tests := map[string]struct {
		set  func(d deadlines) error
		does func(w http.ResponseWriter, req *http.Request) error

		ends  time.Duration // when it fails
		waits bool          // until the client comes, after an hour
	}{
		"a read":              {func(d deadlines) error { return d.SetReadDeadline(time.Now().Add(time.Second)) }, read, time.Second, false},
		"a read that is over": {func(d deadlines) error { return d.SetReadDeadline(time.Unix(1, 0)) }, read, 0, false},
		"a read without":      {func(d deadlines) error { return d.SetReadDeadline(time.Time{}) }, read, 0, true},
		"a write":             {func(d deadlines) error { return d.SetWriteDeadline(time.Now().Add(time.Second)) }, write, time.Second, false},
		"one that was lifted": {func(d deadlines) error {
			return errors.Join(d.SetReadDeadline(time.Now().Add(time.Second)), d.SetReadDeadline(time.Time{}))
		}, read, 0, true},
		"one that was set anew": {func(d deadlines) error {
			return errors.Join(d.SetReadDeadline(time.Now().Add(time.Hour)), d.SetReadDeadline(time.Now().Add(3*time.Second)))
		}, read, 3 * time.Second, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				took, err := handled(t, func(w http.ResponseWriter, req *http.Request) error {
					control, done := master.NewBounds(w, req)
					defer done()
					if err := tc.set(control); err != nil {
						return err
					}
					return tc.does(w, req)
				})

				if tc.waits && (err != nil || took != time.Hour) {
					t.Errorf("it ends after %v: %v, want to wait for the client", took, err)
				}
				if !tc.waits && (err == nil || took != tc.ends) {
					t.Errorf("it ends after %v: %v, want to fail after %v", took, err, tc.ends)
				}
			})
		})
	}
}

// handled returns what a handler returns, and after how long. Its client writes the body
// after an hour, and reads the answer then.
func handled(t *testing.T, handle func(w http.ResponseWriter, req *http.Request) error) (took time.Duration, err error) {
	t.Helper()
	lines := listen()
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	began := time.Now()
	serving.Go(func() {
		_ = master.Serve(ctx, slog.New(slog.DiscardHandler), lines, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			err = handle(w, req)
			took = time.Since(began)
		}))
	})
	transport := &http.Transport{DialContext: lines.dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	body, says := io.Pipe()
	serving.Go(func() {
		time.Sleep(time.Hour)
		_, _ = says.Write([]byte("x")) // nobody may hear it
		_ = says.Close()
	})
	answer, failed := (&http.Client{Transport: transport}).Post("http://masters/", "text/plain", body)
	if failed == nil {
		time.Sleep(time.Until(began.Add(time.Hour + time.Second)))
		_, _ = io.Copy(io.Discard, answer.Body) // it may have been cut off
		_ = answer.Body.Close()
	}
	synctest.Wait()
	return took, err
}
