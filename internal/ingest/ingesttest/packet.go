package ingesttest

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// PacketConn is a UDP socket in memory, so that datagrams can be tested in virtual time. It loses none.
type PacketConn struct {
	in     chan Packet
	past   chan struct{} // closed when a read deadline is set, which is one in the past
	closed chan struct{}
	expire sync.Once
	once   sync.Once

	mu  sync.Mutex
	out []Packet
}

// Packet is a datagram and its device's address.
type Packet struct {
	Data   []byte
	Device netip.AddrPort
}

// NewPacketConn returns a socket that waits for Send.
func NewPacketConn() *PacketConn {
	return &PacketConn{in: make(chan Packet), past: make(chan struct{}), closed: make(chan struct{})}
}

// Send has the server receive a datagram, and returns when it has the one before it behind it.
func (c *PacketConn) Send(data []byte, device netip.AddrPort) {
	select {
	case c.in <- Packet{data, device}:
	case <-c.past:
	case <-c.closed:
	}
}

// Answers returns what the server has sent since the last call.
func (c *PacketConn) Answers() []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.out
	c.out = nil
	return out
}

// ReadMsgUDPAddrPort implements ingest.PacketConn.
func (c *PacketConn) ReadMsgUDPAddrPort(b, _ []byte) (n, controlN, flags int, from netip.AddrPort, err error) {
	select {
	case p := <-c.in:
		return copy(b, p.Data), 0, 0, p.Device, nil
	case <-c.past:
		return 0, 0, 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, 0, 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteMsgUDPAddrPort implements ingest.PacketConn.
func (c *PacketConn) WriteMsgUDPAddrPort(b, _ []byte, to netip.AddrPort) (n, controlN int, err error) {
	select {
	case <-c.closed:
		return 0, 0, net.ErrClosed
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, Packet{append([]byte(nil), b...), to})
	return len(b), 0, nil
}

// SetReadDeadline implements ingest.PacketConn for a time in the past.
func (c *PacketConn) SetReadDeadline(time.Time) error {
	c.expire.Do(func() { close(c.past) })
	return nil
}

// SetReadBuffer implements ingest.PacketConn.
func (c *PacketConn) SetReadBuffer(int) error { return nil }

// Close implements ingest.PacketConn.
func (c *PacketConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
