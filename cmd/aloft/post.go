package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/router"
	"github.com/aloft-run/aloft/router/handover"
)

// The sockets that a router hands over.
const (
	httpSocket   = "http"
	adminSocket  = "admin"
	folderSocket = "folder" // the lock
	portSocket   = "port-"  // and the number, of a route
)

// successorTableWait is how long a router that is to replace one in session waits
// for its own first table.
const successorTableWait = 10 * time.Second

// post is what one router process after the other holds: the data folder and the
// sockets.
type post struct {
	flags  routerFlags
	base   id.Router // as the operator named the router
	number int       // of the process, from 1
	before *handover.Taken
	lock   *os.File
	http   net.Listener
	admin  net.Listener // nil where there is none

	mu    sync.Mutex
	ports map[int]net.Listener // of routes, that were handed over and not used yet
}

// takePost takes the post of the router that runs on the folder, if it is to be
// replaced, and else a free one.
func takePost(ctx context.Context, flags routerFlags, base id.Router) (p *post, err error) {
	p = &post{flags: flags, base: base, number: 1}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if flags.replace {
		p.before, err = handover.Take(ctx, flags.dataDir)
		if err != nil && !errors.Is(err, handover.ErrNobody) {
			return p, err
		}
	}
	if p.before != nil {
		p.lock = p.before.File(folderSocket, "")
		if p.before.Router == base {
			p.number = p.before.Number + 1
		}
		if err = p.takePorts(); err != nil {
			return p, err
		}
	}
	if p.lock == nil {
		if p.lock, err = takeFolder(flags.dataDir); err != nil {
			return p, err
		}
	}
	if p.http, err = p.listen(ctx, httpSocket, flags.http); err != nil {
		return p, fmt.Errorf("router listener: %w", err)
	}
	if flags.admin != "" {
		if p.admin, err = p.listen(ctx, adminSocket, flags.admin); err != nil {
			return p, fmt.Errorf("--admin: %w", err)
		}
	}
	return p, nil
}

// takePorts takes the sockets of routes that have a port of their own.
func (p *post) takePorts() error {
	p.ports = make(map[int]net.Listener)
	for _, socket := range p.before.Sockets {
		text, isPort := strings.CutPrefix(socket.Name, portSocket)
		port, err := strconv.Atoi(text)
		if !isPort || err != nil {
			continue
		}
		address, err := router.PortAddress(p.flags.http, port)
		if err != nil {
			return err
		}
		listener, err := p.before.Listener(socket.Name, address)
		if err != nil {
			return err
		}
		if listener != nil {
			p.ports[port] = listener
		}
	}
	return nil
}

// listenPort returns the listener for a route with a port of its own: one that was
// handed over, or a new one.
func (p *post) listenPort(ctx context.Context, port int) (net.Listener, error) {
	p.mu.Lock()
	listener := p.ports[port]
	delete(p.ports, port)
	p.mu.Unlock()
	if listener != nil {
		return listener, nil
	}
	address, err := router.PortAddress(p.flags.http, port)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}

// dropPorts closes what was handed over for routes that are no more.
func (p *post) dropPorts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, listener := range p.ports {
		_ = listener.Close()
		delete(p.ports, port)
	}
}

// listen returns a listener that was handed over, or a new one where there is
// none, or one at another address.
func (p *post) listen(ctx context.Context, name, address string) (net.Listener, error) {
	if p.before != nil {
		if listener, err := p.before.Listener(name, address); listener != nil || err != nil {
			return listener, err
		}
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}

// close gives up what has not been handed to others.
func (p *post) close() {
	p.dropPorts()
	if p.before != nil {
		p.before.Close()
	}
	if p.lock != nil {
		_ = p.lock.Close()
	}
	for _, listener := range []net.Listener{p.http, p.admin} {
		if listener != nil {
			_ = listener.Close() // closing again does no harm
		}
	}
}

// router is the name of this process in its sessions. The masters must tell it from
// the one that it replaces, for which drains wait as well.
func (p *post) router() id.Router {
	if p.number == 1 {
		return p.base
	}
	suffix := id.Router("-p" + strconv.Itoa(p.number))
	return p.base[:min(len(p.base), id.LengthMax-len(suffix))] + suffix
}

// complete fills in what a successor begins with.
func (p *post) complete(cfg router.Config) router.Config {
	cfg.ID, cfg.Listener, cfg.ListenPort = p.router(), p.http, p.listenPort
	if p.before != nil {
		cfg.Table = p.before.Table
		if p.before.InSession { // then the masters know of every change before we do
			cfg.TableWait = successorTableWait
		}
	}
	return cfg
}

// hold has the router before let go, once this one serves, and waits for a
// successor: when there is one, replaced is called.
func (p *post) hold(ctx context.Context, parts *errgroup.Group, r *router.Router, replaced func(), log *slog.Logger) {
	parts.Go(func() error {
		select {
		case <-r.Serving():
		case <-ctx.Done():
			return nil
		}
		if p.before != nil {
			if err := p.before.Ready(ctx); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "the router that is replaced is gone without a word", slog.Any("error", err))
			}
			p.dropPorts()
		}
		giver, err := handover.Listen(p.flags.dataDir, log)
		if err != nil { // the disk may be full, which is no reason not to serve
			log.ErrorContext(ctx, "this router cannot be replaced without a gap", slog.Any("error", err))
			return nil
		}
		if err := giver.Run(ctx, func() handover.Offer { return p.offer(r) }); err != nil {
			return untilDone(ctx, err)
		}
		log.InfoContext(ctx, "replaced; letting requests end")
		replaced()
		return nil
	})
}

func (p *post) offer(r *router.Router) handover.Offer {
	r.Share()
	table, inSession := r.Table()
	offer := handover.Offer{Router: p.base, Number: p.number, Table: table, InSession: inSession}
	add := func(name, address string, open any) {
		if file, ok := open.(syscall.Conn); ok {
			offer.Sockets = append(offer.Sockets, handover.Socket{Name: name, Address: address, File: file})
		}
	}
	add(httpSocket, p.flags.http, p.http)
	add(adminSocket, p.flags.admin, p.admin)
	add(folderSocket, "", p.lock)
	open := r.OpenPorts()
	for _, port := range slices.Sorted(maps.Keys(open)) {
		address, err := router.PortAddress(p.flags.http, port)
		if err != nil || len(offer.Sockets) == handover.SocketsMax {
			break // the successor listens on the others when this one has let go
		}
		add(portSocket+strconv.Itoa(port), address, open[port])
	}
	return offer
}
