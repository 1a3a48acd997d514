package teltonikasession

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// frameTimeout is within what time a frame, or a login on an open connection, comes to its end once it has begun. A
// device with a slow link needs some seconds for its largest frame; one that needs more has lost the rest.
const frameTimeout = time.Minute

// frameTime is frameTimeout, unless the device may not even be silent for so long.
func (s *session) frameTime() time.Duration { return min(frameTimeout, s.IdleTimeout) }

// allowRest has the time for the rest of a frame or login run from now on, unless it runs already.
func (s *session) allowRest() error {
	if s.begun {
		return nil
	}
	s.begun = true
	return s.conn.Await(s.frameTime())
}

// partial is a frame or login that did not come to its end, and why: the error of the socket.
type partial struct {
	error
	inside string // "frame" or "login"
	first  []byte // with what it begins, without positions
	have   int    // bytes that have arrived
	size   int    // of how many; 0 if they do not say it
}

func (p *partial) Unwrap() error { return p.error }

// begunWith is what has begun with the bytes of head.
func (s *session) begunWith(inside string) *partial {
	return &partial{inside: inside, first: s.head[:s.have], have: int(s.have)}
}

// cutShort says why the connection ends inside a frame or login, and leaves a line on it, unless the end is our doing
// or nothing had begun.
func (s *session) cutShort(p *partial, err error) ingest.CloseReason {
	reason := s.readReason(err)
	if reason == ingest.ReasonIdleTimeout && p.have > 0 {
		reason = ReasonFrameTimeout
	}
	if s.device == nil && (reason == ReasonFrameTimeout || reason == ingest.ReasonIdleTimeout) {
		reason = ingest.ReasonHandshakeTimeout
	}
	switch reason {
	case ingest.ReasonPeerClosed, ingest.ReasonIOError, ReasonFrameTimeout, ingest.ReasonHandshakeTimeout:
		switch {
		case p.have > 0:
			s.logPartial(p, reason, err)
		case s.device == nil:
			s.logSilent(reason)
		}
	}
	return reason
}

// logSilent leaves a line on a connection on which nothing came, if its address has not done that lately: a health
// check of a plain connection looks like that every few seconds.
func (s *session) logSilent(reason ingest.CloseReason) {
	cause := stranger.CauseSilent
	if s.conn.Transport() == transportTLS {
		cause = stranger.CauseTLSUnused
	}
	if who, news := s.knock(cause, nil, ""); news {
		s.Logger.Info("connection ended without a byte", "remote", who.Address, "transport", s.conn.Transport(),
			"reason", string(reason), "cause", who.Text)
	}
}

func (s *session) logPartial(p *partial, reason ingest.CloseReason, err error) {
	imei := ""
	if s.device != nil {
		imei = s.device.imei
		noteError(s.device.known, devices.CauseCutOff, fmt.Errorf("%d of %d bytes: %w", p.have, p.size, err), p.first)
	} else {
		s.knock(stranger.CauseCutOff, p.first, "")
	}
	s.Logger.Log(context.Background(), s.refusalLevel(), "connection ended inside a frame or login",
		"imei", imei, "remote", s.conn.RemoteAddr().String(), "transport", s.conn.Transport(), "reason", string(reason),
		"inside", p.inside, "have", p.have, "size", p.size, "first", firstBytes(p.first),
		"cause", p.cause(reason), "error", err)
}

// cause is what most probably is behind it.
func (p *partial) cause(reason ingest.CloseReason) string {
	foreign, known := stranger.Identify(p.first)
	switch {
	case known && p.inside == "login":
		return foreign.Text
	case reason == ReasonFrameTimeout || reason == ingest.ReasonHandshakeTimeout:
		return "the rest did not come in time: a link that loses large packets (its MTU), or a length that is too high"
	case reason == ingest.ReasonPeerClosed:
		return "the device or its link gave up; if it is always at the same byte: a link that loses large packets " +
			"(its MTU), or a length that is too high"
	}
	return "the link broke"
}

// maxFirstBytes is how much of a login or header may be logged.
const maxFirstBytes = 16

// firstBytes is the beginning of b for the log.
func firstBytes(b []byte) string { return hex.EncodeToString(b[:min(len(b), maxFirstBytes)]) }
