// Package ingesttest has a listener and a UDP socket in memory, so that connections and datagrams can be tested in
// virtual time.
package ingesttest

import (
	"net"
	"sync"
)

// Listener is a net.Listener whose connections are pipes.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener that waits for Dial.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial returns the device's end of a new connection, after the other end has been accepted. If the listener is
// closed, so is the connection.
func (l *Listener) Dial() net.Conn { return l.DialFrom(nil) }

// DialFrom is Dial from an address; nil is that of a pipe.
func (l *Listener) DialFrom(address net.Addr) net.Conn {
	device, server := net.Pipe()
	if address != nil {
		server = from{server, address}
	}
	select {
	case l.conns <- server:
	case <-l.closed:
		_ = server.Close()
	}
	return device
}

// from is a connection with a remote address.
type from struct {
	net.Conn
	remote net.Addr
}

// RemoteAddr implements net.Conn.
func (f from) RemoteAddr() net.Addr { return f.remote }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }
