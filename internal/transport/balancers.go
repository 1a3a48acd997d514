package transport

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/proxyheader"
)

// Balancers are those that relay devices' connections and are believed whose these are. All ports share them.
type Balancers struct {
	trust   *proxyheader.Trust
	refused *prometheus.CounterVec
	logger  *slog.Logger
}

// NewBalancers reads the list of their networks and addresses; see proxyheader.ParseTrust for the error.
func NewBalancers(list string, r prometheus.Registerer, logger *slog.Logger) (*Balancers, error) {
	trust, err := proxyheader.ParseTrust(list)
	if err != nil {
		return nil, err
	}
	b := &Balancers{trust: trust, logger: logger, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "teltonika_proxy_headers_refused_total",
		Help: "Connections of balancers refused for their PROXY protocol header: missing, malformed, unsupported, " +
			"too_long, checksum, truncated, timeout or failed. Only with PROXY_PROTOCOL_FROM.",
	}, []string{"reason"})}
	if b.None() {
		return b, nil
	}
	r.MustRegister(b.refused)
	for _, reason := range proxyheader.Reasons {
		b.refused.WithLabelValues(string(reason))
	}
	return b, nil
}

// None reports whether there are no balancers.
func (b *Balancers) None() bool { return b.trust.Empty() }

// header takes the balancer's header, if the connection is one's, until ctx ends. Whoever sends none is a stranger.
func (b *Balancers) header(ctx context.Context, conn net.Conn, strangers *stranger.Ring) (
	net.Conn, proxyheader.Kind, error,
) {
	stop := deadline.Until(ctx, conn)
	proxied, kind, err := b.trust.Header(conn)
	if !stop() && err == nil {
		err = &proxyheader.Error{Reason: proxyheader.TimedOut, Err: context.Cause(ctx)}
	}
	if err == nil {
		return proxied, kind, nil
	}
	var refused *proxyheader.Error
	errors.As(err, &refused)
	if refused.Reason == proxyheader.TimedOut && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, kind, err // the server is stopping
	}
	b.refused.WithLabelValues(string(refused.Reason)).Inc()
	who := knockWithoutHeader(strangers, conn, refused)
	b.logger.Warn("proxy header refused", "remote", who.Address, "first", hex.EncodeToString(who.First),
		"cause", who.Text, "error", err)
	return nil, kind, &ingest.OpenError{Reason: ingest.ReasonProxyHeader, Err: err}
}

// knockWithoutHeader takes down a connection of a balancer that does not say whose it is.
func knockWithoutHeader(strangers *stranger.Ring, conn net.Conn, refused *proxyheader.Error) stranger.Stranger {
	cause := stranger.CauseProxyMalformed
	if refused.Reason == proxyheader.Missing {
		cause = stranger.CauseProxyMissing
	}
	who, _ := strangers.Knock(stranger.Knock{Door: stranger.DoorTCP, Address: conn.RemoteAddr().String(), Cause: cause,
		First: stranger.Peek(conn, refused.First)})
	return who
}
