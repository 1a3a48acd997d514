package ingest

import (
	"errors"
	"net"
	"runtime/debug"
	"time"
)

// Transport is what stands on a connection before the device's protocol: a balancer's header, encryption.
type Transport interface {
	// Open takes it, on the connection's own goroutine and within the deadline that conn has, and returns the connection
	// that the device's protocol is spoken on, and what that is called: tcp or tls. An error may be an *OpenError. It
	// does not close conn.
	Open(conn net.Conn) (opened net.Conn, name string, err error)
	// Relays reports whether an address is a balancer's. It speaks for many devices, so it is not held to what one may do.
	Relays(remote net.Addr) bool
}

// OpenError says why a connection could not be opened, in the words of the metric.
type OpenError struct {
	Reason    CloseReason
	Transport string // what it was to become, if that is known
	Err       error
}

func (e *OpenError) Error() string { return e.Err.Error() }
func (e *OpenError) Unwrap() error { return e.Err }

// plain is the name of the transport that has nothing before the protocol.
const plain = "tcp"

// open makes the connection ready for its session. It returns why the connection ends, or nothing.
func (s *Server) open(c *Conn) (reason CloseReason) {
	defer func() {
		if p := recover(); p != nil {
			reason = ReasonPanic
			s.options.Logger.Error("session panicked", "panic", p, "remote", c.RemoteAddr().String(), "stack", string(debug.Stack()))
		}
	}()
	c.SetDeadline(time.Now().Add(s.options.OpenTimeout))
	if s.isDraining() { // asked after the deadline is set: if draining begins later, it overwrites the deadline
		return ReasonShutdown
	}
	opened, name, err := c.via.Open(c.Conn)
	if err != nil {
		return s.notOpened(c, err)
	}
	if c.relayed && !s.guard.admits(opened.RemoteAddr(), time.Now()) {
		s.refuse(opened.RemoteAddr())
		return ReasonRateLimited
	}
	c.relayed = false
	opened.SetDeadline(time.Time{})
	if !s.become(c, opened, name) {
		return ReasonShutdown
	}
	c.session = s.options.Adapter.Open(c)
	c.renew = true // what opened it has used much of the stack
	return ""
}

// become has the connection go on as the one that was opened, unless the server is stopping.
func (s *Server) become(c *Conn, opened net.Conn, name string) bool {
	s.mu.Lock() // Drain and Close look at c.Conn
	defer s.mu.Unlock()
	c.Conn, c.transport = opened, name
	return !s.isDraining()
}

func (s *Server) notOpened(c *Conn, err error) CloseReason {
	if s.isDraining() {
		return ReasonShutdown
	}
	if failed := (*OpenError)(nil); errors.As(err, &failed) {
		if failed.Transport != "" {
			c.transport = failed.Transport
		}
		return failed.Reason
	}
	return c.Reason(err)
}
