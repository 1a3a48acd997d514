// Package transport is what stands before the devices' protocol on a TCP port.
package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/proxyheader"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// Front takes a balancer's header, if there are balancers, and then TLS, or whichever of TLS and plain the device
// begins to speak. It implements ingest.Transport.
type Front struct {
	Balancers *Balancers
	TLS       *tlsserver.Server // nil if the port is plain only
	Detect    bool              // the port takes TLS and plain
	Timeout   time.Duration     // for all of it
	Strangers *stranger.Ring    // nil: nothing is known of those that do not get through
}

// Margin is how much later than the Front's timeout the connection's own deadline is: who gives up first says why.
const Margin = time.Second

// Relays implements ingest.Transport.
func (f *Front) Relays(remote net.Addr) bool { return f.Balancers.trust.Covers(remote) }

// Open implements ingest.Transport.
func (f *Front) Open(ctx context.Context, conn net.Conn, admit func(client net.Addr) error) (ingest.Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	conn, kind, err := f.Balancers.header(ctx, conn, f.Strangers)
	if err != nil {
		return ingest.Opened{}, err
	}
	if kind == proxyheader.Proxied {
		if err := admit(conn.RemoteAddr()); err != nil {
			return ingest.Opened{}, err
		}
	}
	if f.TLS == nil {
		return ingest.Opened{Conn: conn, Name: "tcp"}, nil
	}
	return f.secure(ctx, conn, kind == proxyheader.Check)
}

// secure does the handshake.
func (f *Front) secure(ctx context.Context, conn net.Conn, check bool) (ingest.Opened, error) {
	wrap := f.TLS.Wrap
	if f.Detect {
		wrap = f.TLS.Detect
	}
	c := wrap(conn)
	if check {
		c.Quiet()
	}
	switch err := c.Handshake(ctx); {
	case err != nil && check:
		return ingest.Opened{}, &ingest.OpenError{Reason: ingest.ReasonHealthCheck, Err: err}
	case err != nil:
		f.knock(ctx, conn, err)
		return ingest.Opened{}, handshakeFailed(err)
	case !c.IsTLS():
		return ingest.Opened{Conn: c, Name: "tcp"}, nil
	}
	return ingest.Opened{Conn: c, Name: "tls", Verify: c.VerifyIMEI}, nil
}

// knock takes down a connection that TLS did not come about on. The TLS server has logged why, unless nothing came.
func (f *Front) knock(ctx context.Context, conn net.Conn, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the server is stopping
	}
	k := stranger.Knock{Door: stranger.DoorTLS, Address: conn.RemoteAddr().String(), Cause: stranger.CauseSilent}
	if f.Detect {
		k.Door = stranger.DoorTCP
	}
	failed := (*tlsserver.HandshakeError)(nil)
	switch {
	case !errors.As(err, &failed) || failed.Silent():
	case failed.Reason == tlsserver.ReasonPlainData:
		k.Cause, k.First = stranger.CausePlainOnTLS, failed.First
	default:
		k.Cause, k.Text = stranger.CauseTLS, failed.Cause
	}
	if who, news := f.Strangers.Knock(k); news && k.Cause == stranger.CauseSilent {
		f.Balancers.logger.Info("connection ended without a byte", "remote", who.Address, "transport", string(who.Door),
			"reason", string(stranger.CauseSilent), "cause", who.Text)
	}
}

// handshakeFailed tells a handshake that failed, which is logged and counted already, from a device that was silent on
// a port where it may be plain.
func handshakeFailed(err error) error {
	var failed *tlsserver.HandshakeError
	switch {
	case errors.As(err, &failed):
		return &ingest.OpenError{Reason: ingest.ReasonTLS, Transport: "tls", Err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ingest.OpenError{Reason: ingest.ReasonHandshakeTimeout, Err: err}
	}
	return err
}
