package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aloft-run/aloft/store"
)

func TestAnnouncesAgain(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	s, witness := open(t, store.Config{Endpoints: []string{socket}}), etcdClient(t, socket)
	enough := errors.New("been there enough")
	ctx, stop := context.WithCancelCause(t.Context())
	announced := make(chan error)
	go func() { announced <- s.Announce(ctx, "m1", "there") }()
	awaitChange(t, socket, "/aloft/present/m1", 0)
	before := findLease(t, witness, "/aloft/present/m1")
	lost, err := witness.Revoke(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}

	awaitChange(t, socket, "/aloft/present/m1", lost.Header.GetRevision())

	if again := findLease(t, witness, "/aloft/present/m1"); again == before {
		t.Errorf("announced again with the lease %x that was lost", again)
	}
	stop(enough)
	wantWords(t, <-announced, enough, "announce m1")
	if values, err := s.Announced(t.Context()); err != nil || len(values) != 0 {
		t.Errorf("announced when it had gone: %v, %v", values, err)
	}
	leases, err := witness.Leases(t.Context())
	if err != nil || len(leases.Leases) != 0 {
		t.Errorf("it left %d leases, %v", len(leases.Leases), err)
	}
}
