package teltonikasession

import (
	"errors"
	"io"
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
		if err := s.conn.Pause(min(wait, s.HandshakeTimeout-time.Since(s.since))); err != nil {
			return s.conn.Reason(err)
		}
	}
	known := s.Authority.Known(imei)
	if !known && s.StrictAuth {
		s.Logger.Warn("login refused, device is unknown", "imei", imei, "remote", s.conn.RemoteAddr().String())
		s.penalties.add(imei, time.Now())
		return s.reject(known)
	}
	s.imei = imei
	number := s.conn.TakeOver(imei)
	s.Metrics.of(s.conn.Transport()).handshake("accepted", known)
	s.Logger.Info("device connected", "imei", imei, "remote", s.conn.RemoteAddr().String(), "known", known)
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
	s.Metrics.of(s.conn.Transport()).handshake("rejected", known)
	s.head[0] = teltonika.LoginRefuse
	if err := s.answer(1); err != nil {
		return s.writeFailed(err)
	}
	return ReasonRejected
}

// readLogin reads `length u16 | identifier` behind any number of keep-alives, all within the handshake timeout.
func (s *session) readLogin() (string, error) {
	if err := s.conn.Await(s.HandshakeTimeout); err != nil {
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
		s.Metrics.of(s.conn.Transport()).handshake("malformed", false)
		s.Logger.Warn("login malformed", "remote", s.conn.RemoteAddr().String(), "error", err)
		return ReasonMalformedLogin
	}
	if reason := s.conn.Reason(err); reason != ingest.ReasonIdleTimeout {
		return reason
	}
	return ReasonHandshakeTimeout
}

// skipKeepAlives moves what follows the leading keep-alive bytes of b to its front and returns its length.
func skipKeepAlives(b []byte) int {
	k := 0
	for k < len(b) && b[k] == teltonika.KeepAlive {
		k++
	}
	return copy(b, b[k:])
}
