package tlsserver

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"time"
)

// maxFirst is how much of what came instead of TLS is logged.
const maxFirst = 16

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
	if !c.quiet {
		s.options.Metrics.failed(e.Reason)
	}
	if e.Reason == ReasonShutdown {
		return e
	}
	level := c.level()
	if e.Cause == silent {
		level = slog.LevelDebug // balancers do it every few seconds
	}
	attrs := []any{"remote", remote, "reason", string(e.Reason), "cause", e.Cause, "error", e.Err}
	if len(e.First) > 0 {
		attrs = append(attrs, "first", hex.EncodeToString(e.First[:min(len(e.First), maxFirst)]))
	}
	s.options.Logger.Log(a.ctx, level, "tls handshake failed", attrs...)
	return e
}

// unused notes a connection that ends behind a complete handshake with nothing said on it.
func (s *Server) unused(c *Conn, err error) {
	e := afterHandshake(err)
	if !c.quiet {
		s.options.Metrics.leftUnused(e.Reason)
	}
	s.options.Logger.Log(context.Background(), c.level(), "tls connection unused", "remote", c.RemoteAddr().String(),
		"reason", string(e.Reason), "cause", e.Cause, "error", err)
}

// level is that of what is wrong with the connection.
func (c *Conn) level() slog.Level {
	if c.quiet {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}
