package teltonikasession

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// foreignError is something else than a frame or login, of which is known what.
type foreignError struct {
	error
	cause string
}

func (e *foreignError) Unwrap() error { return e.error }

// foreign adds to err what the bytes are that are wrong, if that is known.
func foreign(first []byte, err error) error {
	if p, known := stranger.Identify(first); known {
		return &foreignError{err, p.Text}
	}
	return err
}

// knock takes down a connection on which nobody logs in, unless it is a balancer's health check. imei is what it said
// that it is, if it came so far.
func (s *session) knock(cause stranger.Cause, first []byte, imei string) (_ stranger.Stranger, news bool) {
	if s.conn.IsBalancers() {
		return stranger.Stranger{}, false
	}
	return s.Strangers.Knock(stranger.Knock{Door: stranger.Door(s.conn.Transport()),
		Address: s.conn.RemoteAddr().String(), Cause: cause, First: first, IMEI: imei})
}

// more is first with what has arrived behind it, without waiting for anything. The connection cannot be used any more.
func (s *session) more(first []byte) []byte {
	if s.conn.Transport() == transportTCP {
		return stranger.Peek(s.conn.Conn, first)
	}
	b := make([]byte, stranger.MaxFirst)
	n := copy(b, first)
	if n < len(b) && s.conn.SetReadDeadline(deadline.Past) == nil {
		m, _ := s.conn.Read(b[n:]) // what is decrypted already
		n += m
	}
	return b[:n]
}

// turnedAway takes down that there was no room for a connection before anybody logged in.
func (s *session) turnedAway(reason ingest.CloseReason) {
	if s.device == nil && reason == ingest.ReasonCrowdedOut {
		s.knock(stranger.CauseCrowdedOut, s.head[:s.have], "")
	}
}
