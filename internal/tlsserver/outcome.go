package tlsserver

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// note counts and logs how a handshake ended, and returns its error.
func (s *Server) note(c *Conn, a *attempt, begin time.Time, err error) error {
	remote := c.RemoteAddr().String()
	if err == nil {
		state := c.tls.Load().ConnectionState()
		s.options.Metrics.succeeded(state, time.Since(begin))
		s.options.Logger.Debug("tls handshake done", "remote", remote, "version", tls.VersionName(state.Version),
			"suite", tls.CipherSuiteName(state.CipherSuite), "resumed", state.DidResume)
		return nil
	}
	e := s.explain(c, a, err)
	s.options.Metrics.failed(e.Reason)
	if e.Reason == ReasonShutdown {
		return e
	}
	level := slog.LevelWarn
	if e.Cause == silent {
		level = slog.LevelDebug // balancers do it every few seconds
	}
	s.options.Logger.Log(a.ctx, level, "tls handshake failed", "remote", remote,
		"reason", string(e.Reason), "cause", e.Cause, "error", e.Err)
	return e
}

// left notes a device that said nothing behind a complete handshake but that it leaves.
func (s *Server) left(c *Conn, err error) {
	e := &HandshakeError{Reason: ReasonClosed, Cause: leftAtCertificate}
	if alert, ok := alertOf(err); ok {
		e = ofAlert(alert)
	} else if isClientCertificate(err) {
		e = &HandshakeError{Reason: ReasonClientCertificate, Cause: clientCertificateCause(err)}
	}
	s.options.Metrics.leftUnused(e.Reason)
	s.options.Logger.Warn("tls connection unused, the device left after the handshake", "remote", c.RemoteAddr().String(),
		"reason", string(e.Reason), "cause", e.Cause, "error", err)
}
