package ingest

import (
	"context"
	"errors"
	"net"
	"time"
)

// Transport is what stands on a connection before the device's protocol: a balancer's header, encryption.
type Transport interface {
	// Open takes it, on the connection's own goroutine and until ctx ends, which it does when the server stops; conn
	// has a deadline somewhat later. It does not close conn. An error may be an *OpenError.
	//
	// On a connection that is relayed it calls admit with the client's address as soon as that is known, and ends with
	// admit's error if there is one. Where it does not call it, the connection is the balancer's own.
	Open(ctx context.Context, conn net.Conn, admit func(client net.Addr) error) (Opened, error)
	// Relays reports whether an address is a balancer's. It speaks for many devices, so it is not held to what one may do.
	Relays(remote net.Addr) bool
}

// Opened is a connection on which the device's protocol is spoken.
type Opened struct {
	Conn   net.Conn
	Name   string                    // what it is called: tcp or tls
	Verify func(device string) error // whether the device may be who it says; nil if the transport does not know
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
func (s *Server) open(c *Conn, via Transport) (reason CloseReason) {
	defer s.contain(c, &reason)
	c.SetDeadline(time.Now().Add(c.LoginTime(s.options.OpenTimeout)))
	if s.isDraining() { // asked after the deadline is set: if draining begins later, it overwrites the deadline
		return ReasonShutdown
	}
	opened, err := via.Open(s.running, c.Conn, c.admit)
	if err != nil {
		return s.notOpened(c, err)
	}
	opened.Conn.SetDeadline(time.Time{})
	if !s.become(c, opened) {
		return ReasonShutdown
	}
	c.session = s.options.Adapter.Open(c)
	return ""
}

// become has the connection go on as the one that was opened, unless the server is stopping.
func (s *Server) become(c *Conn, opened Opened) bool {
	s.mu.Lock() // Drain and Close look at c.Conn
	defer s.mu.Unlock()
	c.Conn, c.transport, c.verify, c.opened = opened.Conn, opened.Name, opened.Verify, true
	return !s.isDraining()
}

func (s *Server) notOpened(c *Conn, err error) CloseReason {
	if s.isDraining() {
		return ReasonShutdown
	}
	if cut := c.cutFor.Load(); cut != nil {
		return *cut
	}
	if failed := (*OpenError)(nil); errors.As(err, &failed) {
		if failed.Transport != "" {
			c.transport = failed.Transport
		}
		return failed.Reason
	}
	return c.Reason(err)
}
