package redisstream

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
)

const (
	// connectTimeout bounds each step to a connection: dial, TLS and the first commands.
	connectTimeout = redisdial.Timeout
	// commandTimeout bounds a rare command's answer, if the caller's context does not.
	commandTimeout = redisdial.Timeout
	// unackedTimeout is how long the peer's kernel may leave sent bytes unacknowledged before the
	// connection counts as dead. A process that hangs does not count: its kernel answers, until
	// its receive window is full for this long.
	unackedTimeout = 20 * time.Second
)

// keepAlive finds a peer that has gone without a word: after 5 s of silence, then every 5 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}

// dial makes a TCP or TLS connection that notices when the peer is gone.
func dial(ctx context.Context, target *redis.Options) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, KeepAliveConfig: keepAlive, Control: setUnackedTimeout}
	conn, err := d.DialContext(ctx, "tcp", target.Addr)
	if err != nil || target.TLSConfig == nil {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secure := tls.Client(conn, tlsConfig(target))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// tlsConfig is for the server at the target's address, whose name the certificate must have.
func tlsConfig(target *redis.Options) *tls.Config {
	c := target.TLSConfig.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(target.Addr)
	}
	return c
}

// tcpConn is the socket below conn.
func tcpConn(conn net.Conn) (*net.TCPConn, bool) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	return tcp, ok
}
