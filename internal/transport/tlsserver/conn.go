package tlsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// Conn is a device's connection. Handshake comes first, and then it is used like any net.Conn: reads fail with
// os.ErrDeadlineExceeded at their deadline and can be taken up again, and Close hardly ever waits.
type Conn struct {
	net.Conn // the socket; deadlines and addresses are its own
	server   *Server
	tls      atomic.Pointer[tls.Conn] // nil before the handshake, and if plain
	records  records
	detect   bool
	plain    bool // found by detection
	heard    bool // the device has sent something since the handshake
	quiet    bool // see Quiet
}

// Quiet logs a failure at debug and does not count it: a balancer only looks whether the server is there. It comes
// before Handshake.
func (c *Conn) Quiet() { c.quiet = true }

// Handshake finds out what the device speaks and does the TLS handshake. At ctx's deadline the device was too slow; if
// ctx is cancelled, the server stops. It is called once, before anything is read or written. Its error is a
// *HandshakeError, which is counted and logged already. Where the protocol is detected and the device has not shown it,
// the error is the socket's.
//
// A read deadline that passes meanwhile ends the handshake too, as ReasonShutdown.
func (c *Conn) Handshake(ctx context.Context) error {
	stop := deadline.Until(ctx, c.Conn)
	a := &attempt{ctx: ctx, semaphore: c.server.semaphore}
	begin, err := c.handshake(a)
	if !stop() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	if c.detect && !c.IsTLS() {
		return err
	}
	return c.server.note(c, a, begin, err)
}

// handshake returns when the device's first bytes arrived, too.
func (c *Conn) handshake(a *attempt) (begin time.Time, err error) {
	r := &c.records
	if err := r.receive(); err != nil {
		return time.Now(), err
	}
	begin = time.Now()
	switch {
	case r.head[0] == handshakeRecord:
	case c.detect:
		c.plain = true
		return begin, nil
	default:
		return begin, notTLS(stranger.Peek(c.Conn, r.head[:r.have]))
	}
	r.attempt = a
	t := tls.Server(r, c.server.config)
	c.tls.Store(t)
	defer a.leave()                                // also when it panics
	err = t.HandshakeContext(context.Background()) // which ctx ends by the deadline
	r.attempt = nil
	return begin, err
}

// IsTLS reports whether the connection is encrypted, after the handshake.
func (c *Conn) IsTLS() bool { return c.tls.Load() != nil }

// NetConn is the socket. What is read from it behind a handshake is encrypted.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	t := c.tls.Load()
	if t == nil {
		return c.readPlain(p)
	}
	for {
		n, err := t.Read(p)
		if err == errBetweenRecords {
			if err = c.records.await(); err == nil {
				continue
			}
		}
		if !c.heard {
			c.firstRead(n, err)
		}
		return n, err
	}
}

// readPlain gives back what detection has read.
func (c *Conn) readPlain(p []byte) (int, error) {
	switch {
	case !c.plain:
		return 0, errNoHandshake
	case c.records.given < c.records.have:
		n := copy(p, c.records.head[c.records.given:c.records.have])
		c.records.given += uint8(n)
		return n, nil
	}
	return c.Conn.Read(p)
}

// firstRead notices a connection that ends right after the handshake: some devices look at the certificate only then.
func (c *Conn) firstRead(n int, err error) {
	var timeout net.Error
	switch {
	case n > 0:
		c.heard = true
	case err == nil || errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, net.ErrClosed):
	default:
		c.heard = true
		c.server.unused(c, err)
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	if t := c.tls.Load(); t != nil {
		return t.Write(p)
	}
	if !c.plain {
		return 0, errNoHandshake
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn. It says goodbye first if that takes no time.
func (c *Conn) Close() error {
	t := c.tls.Load()
	if t == nil {
		return c.Conn.Close()
	}
	c.records.closing.Store(true)
	return t.Close()
}
