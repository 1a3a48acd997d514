package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/proxyheader"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/teltonikasession"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsserver"
)

// front is what stands before the devices' protocol on a TCP port: a balancer's header, if balancers are trusted, and
// then TLS, or whichever of TLS and plain the device begins to speak. It implements ingest.Transport.
type front struct {
	*gate
	tls    *tlsserver.Server // nil if the port is plain only
	detect bool
}

// gate is what the fronts of all ports share.
type gate struct {
	balancers *proxyheader.Trust
	refused   *prometheus.CounterVec
	patience  time.Duration // for a handshake
	logger    *slog.Logger
}

func newGate(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (*gate, error) {
	balancers, err := proxyheader.ParseTrust(c.ProxyProtocolFrom)
	if err != nil {
		return nil, invalid("PROXY_PROTOCOL_FROM", err)
	}
	g := &gate{balancers: balancers, patience: c.HandshakeTimeout, logger: logger, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "teltonika_proxy_headers_refused_total",
		Help: "Connections of balancers without a good PROXY protocol header, by reason.",
	}, []string{"reason"})}
	if balancers.Empty() {
		return g, nil
	}
	r.MustRegister(g.refused)
	for _, reason := range proxyheader.Reasons {
		g.refused.WithLabelValues(string(reason))
	}
	return g, nil
}

// Relays implements ingest.Transport.
func (f *front) Relays(remote net.Addr) bool { return f.balancers.Covers(remote) }

// openMargin is how much later than the front's patience the connection's own deadline is: who gives up first says why.
const openMargin = time.Second

// Open implements ingest.Transport. All of it has to be done within the patience.
func (f *front) Open(conn net.Conn) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	conn, err := f.header(ctx, conn)
	if err != nil {
		return nil, "", err
	}
	if f.tls == nil {
		return conn, "tcp", nil
	}
	secure := f.tls.Wrap
	if f.detect {
		secure = f.tls.Detect
	}
	c := secure(conn)
	if err := c.Handshake(ctx); err != nil {
		return nil, "", handshakeFailed(err)
	}
	if !c.IsTLS() {
		return c, "tcp", nil
	}
	return c, "tls", nil
}

// errHealthCheck is a balancer's connection for its own sake.
var errHealthCheck = errors.New("health check of a balancer")

// header takes the balancer's header, if the connection is one's.
func (g *gate) header(ctx context.Context, conn net.Conn) (net.Conn, error) {
	proxied, kind, err := g.balancers.Header(conn)
	if err != nil {
		reason := reasonOf(err)
		if reason == proxyheader.TimedOut && ctx.Err() == nil {
			return nil, err // the server is stopping: the connection's own deadline is later
		}
		g.refused.WithLabelValues(string(reason)).Inc()
		g.logger.Warn("proxy header refused", "remote", conn.RemoteAddr().String(), "error", err)
		return nil, &ingest.OpenError{Reason: ingest.ReasonProxyHeader, Err: err}
	}
	if kind == proxyheader.Check {
		return nil, &ingest.OpenError{Reason: ingest.ReasonHealthCheck, Err: errHealthCheck}
	}
	return proxied, nil
}

func reasonOf(err error) proxyheader.Reason {
	var refused *proxyheader.Error
	errors.As(err, &refused)
	return refused.Reason
}

// handshakeFailed tells a handshake that failed, which is logged and counted already, from a device that was silent on a
// port where it may be plain.
func handshakeFailed(err error) error {
	var failed *tlsserver.HandshakeError
	switch {
	case errors.As(err, &failed):
		return &ingest.OpenError{Reason: ingest.ReasonTLS, Transport: "tls", Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ingest.OpenError{Reason: teltonikasession.ReasonHandshakeTimeout, Err: err}
	}
	return err
}
