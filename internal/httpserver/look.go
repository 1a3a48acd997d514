package httpserver

import (
	"errors"
	"net"
)

// maxFirst is how many bytes of what is no request are told.
const maxFirst = 64

// errNotHTTP has the server answer 400 at once, instead of waiting for the rest of a request.
var errNotHTTP = errors.New("the connection does not begin with a request")

// lookingListener looks at the first bytes of each connection, as they are read.
type lookingListener struct {
	net.Listener
	notHTTP func(remote net.Addr, first []byte)
}

// Accept implements net.Listener.
func (l *lookingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lookedAt{Conn: c, notHTTP: l.notHTTP}, nil
}

// lookedAt is a connection of which the first read is looked at: a request begins with the name of a method.
type lookedAt struct {
	net.Conn
	notHTTP func(remote net.Addr, first []byte) // nil once it has been looked at
}

// Read implements net.Conn. It is called by one goroutine at a time.
func (c *lookedAt) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.notHTTP == nil || n == 0 {
		return n, err
	}
	tell := c.notHTTP
	c.notHTTP = nil
	if beginsRequest(p[:n]) {
		return n, err
	}
	tell(c.RemoteAddr(), p[:min(n, maxFirst)])
	return 0, errNotHTTP
}

// beginsRequest also passes what is no request and begins like one: the server says so.
func beginsRequest(b []byte) bool {
	for _, c := range b[:min(len(b), len("GET"))] {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}
