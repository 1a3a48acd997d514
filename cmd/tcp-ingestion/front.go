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
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/teltonikasession"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/proxyheader"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
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
		Help: "Connections of balancers refused for their PROXY protocol header: missing, malformed, unsupported, " +
			"too_long, checksum, truncated, timeout or failed. Only with PROXY_PROTOCOL_FROM.",
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
func (f *front) Open(ctx context.Context, conn net.Conn, admit func(client net.Addr) error) (ingest.Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	conn, kind, err := f.header(ctx, conn)
	if err != nil {
		return ingest.Opened{}, err
	}
	if kind == proxyheader.Proxied {
		if err := admit(conn.RemoteAddr()); err != nil {
			return ingest.Opened{}, err
		}
	}
	if f.tls == nil {
		return ingest.Opened{Conn: conn, Name: "tcp"}, nil
	}
	return f.secure(ctx, conn, kind == proxyheader.Check)
}

// secure does the handshake.
func (f *front) secure(ctx context.Context, conn net.Conn, check bool) (ingest.Opened, error) {
	wrap := f.tls.Wrap
	if f.detect {
		wrap = f.tls.Detect
	}
	c := wrap(conn)
	if check {
		c.Quiet()
	}
	switch err := c.Handshake(ctx); {
	case err != nil && check:
		return ingest.Opened{}, &ingest.OpenError{Reason: ingest.ReasonHealthCheck, Err: err}
	case err != nil:
		return ingest.Opened{}, handshakeFailed(err)
	case !c.IsTLS():
		return ingest.Opened{Conn: c, Name: "tcp"}, nil
	}
	return ingest.Opened{Conn: c, Name: "tls", Verify: c.VerifyIMEI}, nil
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// header takes the balancer's header, if the connection is one's, until ctx ends.
func (g *gate) header(ctx context.Context, conn net.Conn) (net.Conn, proxyheader.Kind, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(past) })
	proxied, kind, err := g.balancers.Header(conn)
	if !stop() && err == nil {
		err = &proxyheader.Error{Reason: proxyheader.TimedOut, Err: context.Cause(ctx)}
	}
	if err == nil {
		return proxied, kind, nil
	}
	reason := reasonOf(err)
	if reason == proxyheader.TimedOut && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, kind, err // the server is stopping
	}
	g.refused.WithLabelValues(string(reason)).Inc()
	g.logger.Warn("proxy header refused", "remote", conn.RemoteAddr().String(), "error", err)
	return nil, kind, &ingest.OpenError{Reason: ingest.ReasonProxyHeader, Err: err}
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
