package redisstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// connectTimeout bounds each step to a connection: dial, TLS and the first commands.
	connectTimeout = 5 * time.Second
	// commandTimeout bounds a rare command's answer, if the caller's context does not.
	commandTimeout = 5 * time.Second
	// unackedTimeout is how long the peer's kernel may leave sent bytes unacknowledged before the
	// connection counts as dead. A process that hangs does not count: its kernel answers, until
	// its receive window is full for this long.
	unackedTimeout = 20 * time.Second
)

// keepAlive finds a peer that has gone without a word: after 5 s of silence, then every 5 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}

// parseURL takes address, credentials, database and TLS from the URL. Its errors never quote the
// URL, because the password is in it.
func parseURL(raw string) (*redis.Options, error) {
	const remedy = "; it looks like redis://user:password@host:6379/0, " +
		"with reserved characters of the password percent-encoded"
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the redis URL cannot be parsed" + remedy)
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("the redis URL's scheme is neither redis:// nor rediss://" + remedy)
	}
	target, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errors.New("the redis URL has a bad host, database number or query" + remedy)
	}
	target.DialTimeout = connectTimeout
	target.ReadTimeout = commandTimeout
	target.WriteTimeout = commandTimeout
	target.ContextTimeoutEnabled = true
	target.MaxRetries = -1   // whoever asks decides
	target.DialerRetries = 1 // so a probe learns at once
	target.Protocol = 2
	target.DisableIdentity = true
	target.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return target, nil
}

// dial makes a TCP or TLS connection that notices when the peer is gone.
func dial(ctx context.Context, target *redis.Options) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, KeepAliveConfig: keepAlive, Control: setUnackedTimeout}
	conn, err := d.DialContext(ctx, "tcp", target.Addr)
	if err != nil || target.TLSConfig == nil {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secure := tls.Client(conn, target.TLSConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// tcpConn is the socket below conn.
func tcpConn(conn net.Conn) (*net.TCPConn, bool) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	return tcp, ok
}
