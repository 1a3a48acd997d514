package teltonikasession

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// login reads the identifier and answers it. It returns why the connection ends, or nothing.
func (s *session) login() ingest.CloseReason {
	imei, err := s.readLogin()
	if err != nil {
		return s.loginFailed(err)
	}
	if err := s.conn.Verify(imei); err != nil { // before anything is held against the device, which this is not
		s.Logger.Warn("login refused, the certificate is another device's", "imei", imei, "remote", s.conn.RemoteAddr().String(), "error", err)
		return s.reject(s.Authority.Known(imei))
	}
	if wait := s.penalties.due(imei, time.Now()); wait > 0 {
		if err := s.conn.Pause(min(wait, s.conn.Patience(s.HandshakeTimeout))); err != nil {
			return s.conn.Reason(err)
		}
	}
	known := s.Authority.Known(imei)
	if !known && s.StrictAuth {
		s.Logger.Log(context.Background(), s.refusalLevel(), "login refused, device is unknown", "imei", imei, "remote", s.conn.RemoteAddr().String())
		if !s.conn.IsBalancers() { // whose health check comes again with the same one
			s.penalties.add(imei, time.Now())
		}
		return s.reject(known)
	}
	number, err := s.conn.TakeOver(imei, known && s.Listed)
	if err != nil {
		return s.conn.Reason(err)
	}
	s.imei = imei
	s.Metrics.of(s.conn.Transport()).handshake("accepted", known)
	s.Logger.Info("device connected", "imei", imei, "remote", s.conn.RemoteAddr().String(), "transport", s.conn.Transport(), "known", known)
	s.head[0] = teltonika.LoginAccept
	if err := s.answer(1); err != nil {
		return s.writeFailed(err)
	}
	s.line.loggedIn = time.Now()
	s.Commands.Connected(imei, number, s)
	s.rest(0)
	return ""
}

// reject refuses the login.
func (s *session) reject(known bool) ingest.CloseReason {
	s.refused("rejected", known)
	s.head[0] = teltonika.LoginRefuse
	if err := s.answer(1); err != nil {
		return s.writeFailed(err)
	}
	return ReasonRejected
}

// readLogin reads `length u16 | identifier` behind any number of keep-alives, all within what the transport has left of
// the handshake timeout.
func (s *session) readLogin() (string, error) {
	if err := s.conn.Await(s.conn.Patience(s.HandshakeTimeout)); err != nil {
		return "", err
	}
	for n := 0; n < 2; {
		m, err := s.conn.Read(s.head[n:2])
		if err != nil {
			return "", err
		}
		n = skipKeepAlives(s.head[:n+m])
	}
	length, err := teltonika.ParseLoginLength(s.head[:2])
	if err != nil {
		return "", err
	}
	login := append(make([]byte, 0, 2+teltonika.MaxLoginLength), s.head[:2]...)[:2+length]
	if _, err := io.ReadFull(s.conn, login[2:]); err != nil {
		return "", err
	}
	return teltonika.ParseLogin(login)
}

func (s *session) loginFailed(err error) ingest.CloseReason {
	var malformed *teltonika.DecodeError
	if errors.As(err, &malformed) {
		s.refused("malformed", false)
		attrs := []any{"remote", s.conn.RemoteAddr().String(), "error", err}
		if cause := causeOf(s.head[:2]); cause != "" {
			attrs = append(attrs, "cause", cause)
		}
		s.Logger.Log(context.Background(), s.refusalLevel(), "login malformed", attrs...)
		return ReasonMalformedLogin
	}
	if reason := s.conn.Reason(err); reason != ingest.ReasonIdleTimeout {
		return reason
	}
	return ReasonHandshakeTimeout
}

// refused counts a login that is not accepted, unless it is a balancer's health check.
func (s *session) refused(result string, known bool) {
	if !s.conn.IsBalancers() {
		s.Metrics.of(s.conn.Transport()).handshake(result, known)
	}
}

// refusalLevel is how loud it is said: a health check makes no noise.
func (s *session) refusalLevel() slog.Level {
	if s.conn.IsBalancers() {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// causeOf says what a connection is that begins so instead of with a login, if that is known.
func causeOf(first []byte) string {
	switch {
	case first[0] == 0x16 && first[1] == 3: // a handshake record, and the major version of all of TLS
		return "TLS on the plain port: set TLS_DETECT or send it to TLS_PORT"
	case string(first) == "PR", string(first) == "\r\n": // versions 1 and 2
		return "a PROXY protocol header from an address that is not in PROXY_PROTOCOL_FROM"
	}
	return ""
}

// skipKeepAlives moves what follows the leading keep-alive bytes of b to its front and returns its length.
func skipKeepAlives(b []byte) int {
	k := 0
	for k < len(b) && b[k] == teltonika.KeepAlive {
		k++
	}
	return copy(b, b[k:])
}
