package ingest

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// ErrDraining is returned by Conn.Await when the server is stopping.
var ErrDraining = errors.New("server is draining")

// Conn is one device's connection.
type Conn struct {
	net.Conn
	server    *Server
	session   Session
	run       func()    // takes the next steps
	renew     bool      // a new goroutine shall run
	via       Transport // nil for a plain connection
	client    net.Addr  // whom the guard holds responsible; nil while only the balancer is known
	since     time.Time // when it was accepted
	transport string    // how it came in: tcp, tls
	verify    func(device string) error
	device    string // set by TakeOver
	takenOver atomic.Bool
	revoked   atomic.Bool
}

// Transport is how the connection came in: tcp or tls.
func (c *Conn) Transport() string { return c.transport }

// Since is when the connection was accepted, before its transport took its time.
func (c *Conn) Since() time.Time { return c.since }

// IsBalancers reports whether the connection is a balancer's own, and not made for a device. As long as nobody logs in on
// it, it is a health check.
func (c *Conn) IsBalancers() bool { return c.client == nil }

// Verify reports whether the device may be who it says, where the transport knows better.
func (c *Conn) Verify(device string) error {
	if c.verify == nil {
		return nil
	}
	return c.verify(device)
}

// past is a deadline that wakes a reader at once.
var past = time.Unix(1, 0)

// Await allows d for what is read next. While the server drains it allows nothing and returns ErrDraining.
func (c *Conn) Await(d time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	// Asked after the deadline is set: if draining begins later, it overwrites the deadline.
	if c.server.isDraining() {
		return ErrDraining
	}
	return nil
}

// Draining is closed when the server begins to stop.
func (c *Conn) Draining() <-chan struct{} { return c.server.draining }

// Pause waits, and returns ErrDraining at once when the server is stopping.
func (c *Conn) Pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.server.draining:
		return ErrDraining
	}
}

// Renew has the session's next step taken by a new goroutine. A stack that grew in a step would keep 4 KiB or more for
// good, while a new one waits for the device with 2; so a session asks for it when it begins a long wait.
func (c *Conn) Renew() { c.renew = true }

// TakeOver makes the connection the device's only one: an older connection of the device is closed before
// TakeOver returns, so that it can acknowledge nothing any more. It is called once, at the login, and returns a number that is
// higher than those of all older logins.
func (c *Conn) TakeOver(device string) (number uint64) {
	s := c.server
	s.guard.note(c.client, true, time.Now())
	s.mu.Lock()
	c.device = device
	older := s.devices[device]
	s.devices[device] = c
	s.logins++
	number = s.logins
	delete(s.conns, older) // what it still has in hand holds no place of the limit
	s.options.Metrics.active.Set(float64(len(s.conns)))
	s.mu.Unlock()
	if older != nil {
		older.takenOver.Store(true)
		older.Close()
	}
	return number
}

// Reason says why reading from or writing to the connection failed.
func (c *Conn) Reason(err error) CloseReason {
	switch {
	case c.takenOver.Load():
		return ReasonTakenOver
	case c.revoked.Load():
		return ReasonRevoked
	case errors.Is(err, ErrDraining), c.server.isDraining():
		return ReasonShutdown
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonIdleTimeout
	case isPeerClosed(err):
		return ReasonPeerClosed
	}
	return ReasonIOError
}
