// Package ingest is the TCP shell around a device protocol: it listens, limits and tracks connections, lets a
// device's newer connection take over from the older one, contains panics, and stops in order. What is said on a
// connection is an Adapter's business; nothing here knows a vendor.
package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// Adapter speaks a device protocol.
type Adapter interface {
	// Open returns the session of a new connection, without waiting for anything.
	Open(c *Conn) Session
}

// Session is what is said on one connection.
type Session interface {
	// Step waits for the device's next message, takes it and answers it. It returns why the connection ends, or
	// nothing if another step follows. It does not close the connection. It ends the session soon after the
	// connection's reads fail, and when Conn.Await returns ErrDraining, in either case only when no answer
	// is owed any more.
	Step() CloseReason
	// End is called once, after the last step, also if that panicked.
	End(reason CloseReason)
}

// Options are the server's settings. All fields are needed but TurnedAway, OpenTimeout only with a Transport.
type Options struct {
	Adapter        Adapter
	MaxConnections int
	OpenTimeout    time.Duration // for what stands before the device's protocol
	Metrics        *Metrics
	Logger         *slog.Logger

	// TurnedAway is told of a connection that had to go before it had a session: ReasonRateLimited or ReasonCrowdedOut.
	TurnedAway func(remote net.Addr, transport string, reason CloseReason)
}

// Server accepts connections until Shutdown.
type Server struct {
	options Options
	began   time.Time
	limiter *connLimiter
	proven  *provenDevices
	drain
	closed   atomic.Bool    // to newcomers
	sessions sync.WaitGroup // connections whose adapter is still at work
	accepts  sync.WaitGroup

	mu        sync.Mutex // a connection takes it a few times: at its begin, login, first ACK and end
	listeners []net.Listener
	conns     connSet
	unproven  connSet // of conns, those that have no proof
	loggedIn  int     // of conns
	ending    int     // connections that were cut off and are not in conns any more
	proofs    proof   // the last one
	devices   map[string]*Conn
	logins    uint64
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	return &Server{
		options: o, began: time.Now(), limiter: newConnLimiter(), proven: newProvenDevices(), drain: newDrain(),
		conns: make(connSet), unproven: make(connSet), devices: make(map[string]*Conn), proofs: listed,
	}
}

// Serve accepts connections from the listener in the background, which come via the transport, or are plain if that is
// nil. The server closes it, at once if it is stopping.
func (s *Server) Serve(l net.Listener, via Transport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		l.Close()
		return
	}
	s.listeners = append(s.listeners, l)
	s.accepts.Go(func() {
		defer logging.ExitOnPanic(s.options.Logger)
		s.accept(l, via)
	})
}

// How long accept waits after a failure such as "too many open files", doubled from one to the other.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

func (s *Server) accept(l net.Listener, via Transport) {
	retry := backoff.Backoff{First: minAcceptPause, Max: maxAcceptPause}
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			retry.Reset()
			s.handle(conn, via)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause := retry.Next()
			s.options.Logger.Error("cannot accept connections", "error", err, "retry_in", pause)
			if !backoff.Pause(s.running, pause) {
				return
			}
		}
	}
}

// handle has a new connection served, or closes it if its address has done too much.
func (s *Server) handle(conn net.Conn, via Transport) {
	c := &Conn{Conn: conn, server: s, since: time.Since(s.began), transport: plain, opened: via == nil}
	if via == nil || !via.Relays(conn.RemoteAddr()) {
		if c.admit(conn.RemoteAddr()) != nil {
			s.turnAway(c, ReasonRateLimited)
			return
		}
	}
	gone, err := s.enter(c)
	if err != nil {
		s.turnAway(c, refusal(err))
		return
	}
	if gone != nil {
		s.options.Logger.Warn("no room, unproven connection closed for a newer one",
			"limit", s.options.MaxConnections, "remote", gone.RemoteAddr().String())
	}
	if via != nil {
		go s.serveVia(c, via)
		return
	}
	c.session = s.options.Adapter.Open(c)
	go s.serve(c)
}

// turnAway closes a connection that does not get in.
func (s *Server) turnAway(c *Conn, reason CloseReason) {
	s.options.Metrics.closed(reason, c.transport)
	s.tellTurnedAway(c, reason)
	c.Conn.Close()
}

func (s *Server) tellTurnedAway(c *Conn, reason CloseReason) {
	if s.options.TurnedAway != nil && (reason == ReasonRateLimited || reason == ReasonCrowdedOut) {
		s.options.TurnedAway(c.RemoteAddr(), c.transport, reason)
	}
}

// serve takes the session's steps, until its end or until it asks for a new goroutine.
func (s *Server) serve(c *Conn) {
	for {
		if reason := s.step(c); reason != "" {
			s.end(c, reason)
			return
		}
		if c.renew {
			c.renew = false
			go s.serve(c)
			return
		}
	}
}

// serveVia opens the connection before that. It leaves the rest to a new goroutine: what opens it uses much of the
// stack.
func (s *Server) serveVia(c *Conn, via Transport) {
	if reason := s.open(c, via); reason != "" {
		s.end(c, reason)
		return
	}
	go s.serve(c)
}

// end parts with the connection, whose session is at its end.
func (s *Server) end(c *Conn, reason CloseReason) {
	defer s.sessions.Done()
	if c.session != nil {
		reason = c.asCheck(reason)
		c.session.End(reason)
	} else {
		s.tellTurnedAway(c, reason)
	}
	s.options.Metrics.closed(reason, c.transport)
	if reason == ReasonShutdown && c.cutFor.Load() == nil {
		return // Shutdown closes what is left, spread over a moment
	}
	if c.device == "" {
		s.limiter.note(c.client, false, time.Now())
	}
	c.Close()
	s.remove(c)
}

// step takes the session's next step.
func (s *Server) step(c *Conn) (reason CloseReason) {
	defer s.contain(c, &reason)
	return c.session.Step()
}

// contain has a panic end the connection and nothing else.
func (s *Server) contain(c *Conn, reason *CloseReason) {
	if p := recover(); p != nil {
		*reason = ReasonPanic
		s.options.Logger.Error("session panicked", "panic", p, "remote", c.RemoteAddr().String(),
			"stack", string(debug.Stack()))
	}
}

// asCheck is the reason of a session's end, if it was no balancer's health check.
func (c *Conn) asCheck(reason CloseReason) CloseReason {
	if c.IsBalancers() && c.device == "" && reason != ReasonShutdown && reason != ReasonPanic {
		return ReasonHealthCheck
	}
	return reason
}

// remove forgets the connection, and the device only if it has not been taken over.
func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(c)
	if c.ending {
		s.ending--
	}
	if s.devices[c.device] == c {
		delete(s.devices, c.device)
	}
	if c.proof != noProof {
		s.proven.remember(c.device, c.proof) // as of now, and not of when it came
	}
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// isPeerClosed reports whether the error means that the peer ended the connection.
func isPeerClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wait waits for the group, or until ctx ends.
func wait(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
