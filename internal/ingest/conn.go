package ingest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
)

// ErrDraining is returned by Conn.Await when the server is stopping.
var ErrDraining = errors.New("server is draining")

// Conn is one device's connection. There are many, so it is kept small: 128 bytes.
type Conn struct {
	net.Conn
	server    *Server
	session   Session
	client    net.Addr      // whom the limiter holds responsible; nil while only the balancer is known
	since     time.Duration // when it was accepted, after the server began
	transport string        // how it came in: tcp, tls
	verify    func(device string) error
	cutFor    atomic.Pointer[CloseReason] // why the server ends it, if it does
	renew     bool                        // a new goroutine shall run
	hurried   bool                        // there is little time for the login

	// With the server's lock.
	opened bool   // the session's, and no longer the transport's
	ending bool   // cut off, and not at its end yet
	proof  proof  // of its device
	device string // who has logged in last; set by TakeOver
}

// Transport is how the connection came in: tcp or tls.
func (c *Conn) Transport() string { return c.transport }

// IsBalancers reports whether the connection is a balancer's own, and not made for a device. As long as nobody logs in
// on it, it is a health check.
func (c *Conn) IsBalancers() bool { return c.client == nil }

// Verify reports whether the device may be who it says, where the transport knows better.
func (c *Conn) Verify(device string) error {
	if c.verify == nil {
		return nil
	}
	return c.verify(device)
}

// Network is what the device's doings are held against: its address without the port, and of IPv6 the /64, which one
// customer has. It is the zero Addr for a balancer's own connection and for what is not TCP.
func (c *Conn) Network() netip.Addr {
	network, _ := addressOf(c.client)
	return network
}

// Await allows d for what is read next. While the server drains it allows nothing and returns ErrDraining.
func (c *Conn) Await(d time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	// Asked after the deadline is set: if draining begins later, it overwrites the deadline.
	if c.server.isDraining() {
		return ErrDraining
	}
	if c.cutFor.Load() != nil { // likewise
		return errCut
	}
	return nil
}

// Wake ends the read that waits now, from another goroutine. The next Await undoes it.
func (c *Conn) Wake() { c.SetReadDeadline(deadline.Past) }

// Dismiss ends the connection, from another goroutine. It is called between two messages: none has begun, and none can
// begin meanwhile. What has arrived of one and is not read yet is not answered.
func (c *Conn) Dismiss() {
	reason := ReasonShed
	if c.server.closed.Load() {
		reason = ReasonShutdown
	}
	c.cutFor.CompareAndSwap(nil, &reason)
	c.Wake()
}

// LoginTime is what is left of d for a login, counted from when the connection was accepted. It is less where the
// connection's address has had many that did not log in.
func (c *Conn) LoginTime(d time.Duration) time.Duration {
	if c.hurried {
		d = min(d, hurriedLogin)
	}
	return d - (time.Since(c.server.began) - c.since)
}

// Draining is closed when the server begins to stop.
func (c *Conn) Draining() <-chan struct{} { return c.server.draining() }

// Pause waits, and returns ErrDraining at once when the server is stopping.
func (c *Conn) Pause(d time.Duration) error {
	if !backoff.Pause(c.server.running, d) {
		return ErrDraining
	}
	return nil
}

// Lasts reports whether the device may still be served: neither it nor the server has ended the connection.
// Nothing is read.
func (c *Conn) Lasts() bool {
	return c.cutFor.Load() == nil && !c.server.isDraining() && !closedByPeer(c.Conn)
}

// Renew has the session's next step taken by a new goroutine. A stack that grew in a step would keep 4 KiB or more for
// good, while a new one waits for the device with 2; so a session asks for it when it begins a long wait.
func (c *Conn) Renew() { c.renew = true }

// TakeOver makes the connection the device's only one, and no other device's: an older connection of the device is
// closed before TakeOver returns, so that it can acknowledge nothing any more. It is called at each login of a device
// that is not the connection's already, and returns a number that is higher than those of all older logins. trusted
// says that it is a device without doubt, so that its connection is not one of those that go when there is no room. It
// fails if there is none, or the server has given the connection up.
func (c *Conn) TakeOver(device string, trusted bool) (number uint64, err error) {
	s := c.server
	if c.device == "" { // which nobody else writes
		s.limiter.note(c.client, true, time.Now())
	}
	older, gone, number, err := s.register(c, device, trusted)
	if gone != nil {
		s.options.Logger.Warn("connection limit reached, connection closed",
			"limit", s.options.MaxConnections, "remote", gone.RemoteAddr().String())
	}
	if older != nil {
		older.closeTakenOver()
	}
	return number, err
}

// TakenOver ends the connection because its device has a newer one at another instance, as TakeOver ends an older one
// of this: what it has in hand is not acknowledged any more. It does nothing if the connection is not the device's, by
// now.
func (c *Conn) TakenOver(device string) {
	c.server.mu.Lock()
	current := c.server.devices[device] == c
	c.server.mu.Unlock()
	if current {
		c.closeTakenOver()
	}
}

func (c *Conn) closeTakenOver() {
	c.cutFor.CompareAndSwap(nil, new(ReasonTakenOver))
	c.Close()
}

// register does TakeOver but for closing the older connection. gone is the one that went because there is no place for
// both: another one, or c itself.
func (s *Server) register(c *Conn, device string, trusted bool) (older, gone *Conn, number uint64, err error) {
	proof := s.proven.of(device)
	if trusted {
		proof = listed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; !ok {
		return nil, nil, 0, errCut
	}
	if older = s.devices[device]; older == c {
		older = nil
	}
	if older != nil {
		s.leave(older) // what it still has in hand holds no place
	}
	if c.device == "" && s.loggedIn >= s.options.MaxConnections {
		if gone = s.conns.first(later(proof)); gone == nil {
			s.cut(c, ReasonLimit)
			return older, c, 0, errFull
		}
		s.cut(gone, ReasonLimit)
	}
	s.rename(c, device)
	if c.proof = proof; proof != noProof {
		delete(s.unproven, c)
	} else {
		s.unproven[c] = struct{}{}
	}
	s.logins++
	s.count()
	return older, gone, s.logins, nil
}

// rename has the connection be the device's, and no longer another's. The lock is held.
func (s *Server) rename(c *Conn, device string) {
	if c.device == "" {
		s.loggedIn++
	} else if s.devices[c.device] == c {
		delete(s.devices, c.device)
	}
	c.device = device
	s.devices[device] = c
}

// Reason says why reading from or writing to the connection failed.
func (c *Conn) Reason(err error) CloseReason {
	if cut := c.cutFor.Load(); cut != nil {
		return *cut
	}
	switch {
	case errors.Is(err, ErrDraining), c.server.isDraining():
		return ReasonShutdown
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonIdleTimeout
	case isPeerClosed(err):
		return ReasonPeerClosed
	}
	return ReasonIOError
}
