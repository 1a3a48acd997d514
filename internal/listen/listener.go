package listen

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// listener is a TCP listener that can hand its port over.
type listener struct {
	*net.TCPListener
	inherited bool // by somebody who knows no keep-alive of ours
	shared    bool // SO_REUSEPORT
	probe     atomic.Pointer[probe]
}

// Accept implements net.Listener. The connection is a *net.TCPConn.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if p := l.probe.Load(); p != nil && p.is(c) {
			c.Close()
			continue
		}
		if l.inherited {
			c.SetKeepAliveConfig(keepAlive) // fails only on a connection that is gone
		}
		return c, nil
	}
}

// retire has the kernel give new connections to another socket of the port.
//
// The kernel decides with the first packet of a connection whose it will be, and resets what is in the queue of a
// socket that is closed. So it is told to give new ones to others, and the old ones are waited for. It knows the
// sockets of a port by their slots only, from 0 without a gap. If there is another socket then slot 0 or slot 1 is not
// this one's; a connection to the port itself shows which. An empty slot means any socket, so at worst nothing changes.
func (l *listener) retire(ctx context.Context, settle time.Duration) (others bool, err error) {
	defer l.probe.Store(nil)
	for slot := range uint32(2) {
		if err := l.redirect(slot); err != nil {
			return false, &Error{Name: "hand-over", Network: "tcp", Address: l.Addr().String(), Err: err}
		}
		p := &probe{arrived: make(chan struct{})}
		l.probe.Store(p)
		if err := p.send(ctx, l.Addr().(*net.TCPAddr), settle); err != nil {
			return false, err
		}
		select {
		case <-p.arrived: // here: the slot is this socket's, or nobody's
		case <-time.After(settle):
			return true, nil
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
	return false, nil
}

func (l *listener) redirect(slot uint32) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	return sendAllTo(raw, slot)
}

// probe is a connection to the port that finds out whose it is.
type probe struct {
	mu      sync.Mutex
	from    netip.AddrPort
	arrived chan struct{}
}

// send connects to the port, and at once ends the connection.
func (p *probe) send(ctx context.Context, to *net.TCPAddr, timeout time.Duration) error {
	p.mu.Lock() // it may be accepted before the address it comes from is known
	defer p.mu.Unlock()
	target := *to
	if target.IP.IsUnspecified() && target.IP.To4() == nil {
		target.IP = net.IPv6loopback
	}
	dialer := net.Dialer{Timeout: timeout}
	dialer.SetMultipathTCP(false)
	c, err := dialer.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return err
	}
	p.from = c.LocalAddr().(*net.TCPAddr).AddrPort()
	return c.Close()
}

// is reports whether the connection is the probe, and says so to who waits for it.
func (p *probe) is(c *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok || unmapped(from.AddrPort()) != unmapped(p.from) {
		return false
	}
	close(p.arrived)
	return true
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
