package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// handshakeError is why no TLS connection came about over a connection that did.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// overTLS makes TLS connections of those that dial opens. Each device resumes its own sessions.
func overTLS(dial Dialer, o *Options) Dialer {
	config := new(tls.Config)
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(o.Address)
	}
	configs := make([]*tls.Config, o.Devices) // each used by its device alone
	return func(ctx context.Context, device int) (net.Conn, error) {
		conn, err := dial(ctx, device)
		if err != nil {
			return nil, err
		}
		if configs[device] == nil {
			configs[device] = withSessions(config)
		}
		secure := tls.Client(conn, configs[device])
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, &handshakeError{err}
		}
		return secure, nil
	}
}

// withSessions lets a device resume its last session, as modems do, unless tickets are turned off.
func withSessions(config *tls.Config) *tls.Config {
	if config.SessionTicketsDisabled || config.ClientSessionCache != nil {
		return config
	}
	own := config.Clone()
	own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return own
}

// isAlert reports whether the server has ended a connection with a TLS alert. In TLS 1.3 it judges the client's
// certificate when the handshake is over for the client.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
