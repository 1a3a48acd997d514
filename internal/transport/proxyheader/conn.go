package proxyheader

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
)

// Kind says whose connection it is.
type Kind int

// Whose connection it is.
const (
	Direct  Kind = iota // from an address that is not trusted: what it sends is taken for the client's, a header too
	Proxied             // a balancer's, for a client that its header names
	Check               // a balancer's own, to see whether the server is there; what follows, if anything, is its own
)

// conn is a connection whose client is not its peer. It keeps no buffer: what is behind the header is still in the
// kernel.
type conn struct {
	net.Conn
	client *net.TCPAddr
}

// RemoteAddr is the client's address, as the balancer has it. LocalAddr stays this machine's.
func (c *conn) RemoteAddr() net.Addr { return c.client }

// NetConn is the connection with the balancer.
func (c *conn) NetConn() net.Conn { return c.Conn }

// buffers are for headers while they are read.
var buffers = sync.Pool{New: func() any { return new([maxHeader]byte) }}

// Header reads the header, if the peer is trusted, and returns the connection as its client's. Nothing behind the
// header is read. It waits for the peer, so call it with a read deadline set and on the connection's own goroutine.
//
// A peer that is not trusted is not asked: the connection is returned as it came, and a header on it is for whoever
// reads the connection to refuse. From a trusted one anything but a header is an *Error, and the connection must be
// closed without an answer. A peer that ends the connection before its first byte is a Check without a header.
// A Check keeps the balancer's address.
func (t *Trust) Header(c net.Conn) (net.Conn, Kind, error) {
	if !t.Covers(c.RemoteAddr()) {
		return c, Direct, nil
	}
	buffer := buffers.Get().(*[maxHeader]byte)
	defer buffers.Put(buffer)
	size, refused := readHeader(c, buffer)
	if refused != nil {
		if refused.Offset == 0 && refused.Reason == Truncated {
			return c, Check, nil
		}
		refused.First = bytes.Clone(buffer[:min(size, maxFirst)])
		return nil, Proxied, refused
	}
	client, err := parseHeader(buffer[:size])
	if err != nil {
		refused := parseError(size, err)
		refused.First = bytes.Clone(buffer[:min(size, maxFirst)])
		return nil, Proxied, refused
	}
	if client == nil || samePeer(client, c.RemoteAddr()) {
		return c, Check, nil
	}
	return &conn{Conn: c, client: client}, Proxied, nil
}

// samePeer reports whether the header names the balancer's end of this very connection as the client: that is how a
// check looks in version 1 that the balancer says PROXY before.
func samePeer(client *net.TCPAddr, peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	return ok && unmapped(client) == unmapped(tcp)
}

func unmapped(a *net.TCPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
