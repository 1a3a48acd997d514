package listen

import "net"

// listener is a TCP listener.
type listener struct {
	*net.TCPListener
	inherited bool // opened by the service manager, which does not set our keep-alive
}

// Accept implements net.Listener. The connection is a *net.TCPConn.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	if l.inherited {
		c.SetKeepAliveConfig(keepAlive) // fails only on a connection that is gone
	}
	return c, nil
}
