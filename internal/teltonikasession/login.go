package teltonikasession

import (
	"context"
	"errors"
	"log/slog"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// login waits for the connection's first login and takes it. It returns why the connection ends, or nothing.
func (s *session) login() ingest.CloseReason {
	until := time.Now().Add(s.conn.LoginTime(s.HandshakeTimeout))
	if err := s.awaitLogin(time.Until(until)); err != nil {
		return s.cutShort(s.begunWith("login"), err)
	}
	return s.logIn(until)
}

// loginAgain takes a login on a connection that has had one.
func (s *session) loginAgain() ingest.CloseReason {
	if err := s.allowRest(); err != nil {
		return s.cutShort(s.begunWith("login"), err)
	}
	return s.logIn(time.Now().Add(s.HandshakeTimeout))
}

// awaitLogin waits for a login to begin, behind any number of keep-alives.
func (s *session) awaitLogin(wait time.Duration) error {
	if err := s.conn.Await(wait); err != nil {
		return err
	}
	for s.have < 2 {
		m, err := s.conn.Read(s.head[s.have:])
		if err != nil {
			return err
		}
		s.arrived(m)
	}
	return nil
}

// logIn takes the login that has begun and answers it. From then on the connection is that device's.
func (s *session) logIn(until time.Time) ingest.CloseReason {
	imei, login, err := s.readLogin()
	var reason ingest.CloseReason
	if err != nil {
		reason = s.loginFailed(login, err)
	} else {
		reason = s.admit(imei, until)
	}
	s.showLogin(imei, login, err, reason)
	return reason
}

// admit answers the login, and lets the device in if it may.
func (s *session) admit(imei string, until time.Time) ingest.CloseReason {
	asked := time.Now()
	known, reason := s.mayLogIn(imei, until)
	if reason != "" {
		return reason
	}
	if s.isLoggedIn(imei) {
		return s.welcome(known)
	}
	number, err := s.become(imei, known, time.Since(asked))
	if err != nil {
		reason := s.conn.Reason(err)
		if reason == ingest.ReasonLimit {
			s.knock(stranger.CauseLimit, nil, imei)
		}
		return reason
	}
	if reason := s.welcome(known); reason != "" {
		return reason
	}
	s.device.loggedIn = time.Now() // nobody else has the device yet
	s.Commands.Connected(imei, number, s.device)
	return ""
}

func (s *session) isLoggedIn(imei string) bool { return s.device != nil && s.device.imei == imei }

// become makes the connection the device's, whose login has waited for so long. It returns the login's number.
func (s *session) become(imei string, known bool, waited time.Duration) (uint64, error) {
	s.leave(ReasonOtherLogin)
	number, err := s.conn.TakeOver(imei, known && s.Listed)
	if err != nil {
		return 0, err
	}
	s.device = &device{
		mirror: s.mirrorOf(imei, known),
		sender: sender{session: s, imei: imei, known: s.Devices.Hold(imei), loggedIn: time.Now()},
	}
	s.device.visit = s.device.known.LoggedIn(devices.Visit{
		At: s.device.loggedIn, Address: s.conn.RemoteAddr().String(), Transport: s.conn.Transport(),
		Delay: waited.Truncate(firstLoginBackoff),
	})
	s.known, s.proved, s.wrongCRCs, s.allNew = known, false, 0, 0
	s.Logger.Info("device connected", "imei", imei, "remote", s.conn.RemoteAddr().String(),
		"transport", s.conn.Transport(), "known", known)
	return number, nil
}

// welcome accepts the login.
func (s *session) welcome(known bool) ingest.CloseReason {
	s.Metrics.of(s.conn.Transport()).handshake("accepted", known)
	if err := s.answerLogin(teltonika.LoginAccept); err != nil {
		return s.writeFailed(err)
	}
	s.rest(false)
	return ""
}

// mayLogIn says why the device is refused, or nothing. It waits if the login has to.
func (s *session) mayLogIn(imei string, until time.Time) (known bool, refused ingest.CloseReason) {
	remote := s.conn.RemoteAddr().String()
	if err := s.conn.Verify(imei); err != nil { // before anything is held against the device, which this is not
		s.Logger.Warn("login refused, the certificate is another device's", "imei", imei, "remote", remote, "error", err)
		return false, s.reject(imei, s.Authority.Known(imei), devices.LoginCertificate)
	}
	if err := s.backOff(imei, until); err != nil {
		return false, s.conn.Reason(err)
	}
	known = s.Authority.Known(imei)
	if known || !s.StrictAuth {
		return known, ""
	}
	s.Logger.Log(context.Background(), s.refusalLevel(), "login refused, device is unknown",
		"imei", imei, "remote", remote)
	if !s.conn.IsBalancers() { // whose health check comes again with the same one
		s.backoff.grow(s.loginSource(imei, true), time.Now())
	}
	return known, s.reject(imei, known, devices.LoginNotListed)
}

// backOff waits for as long as the login has to. One that is said again has waited already.
func (s *session) backOff(imei string, until time.Time) error {
	if s.isLoggedIn(imei) {
		return nil
	}
	refused := s.StrictAuth && !s.Authority.Known(imei)
	wait := s.backoff.due(s.loginSource(imei, refused), time.Now())
	if s.Devices.Contested(imei, time.Now()) {
		wait = maxLoginBackoff
	}
	if wait > 0 {
		if err := s.conn.Pause(min(wait, time.Until(until))); err != nil {
			return err
		}
	}
	return s.paceOther()
}

// otherLogins is how many logins of other devices a connection may have at once, and then one a second: each closes the
// connection that its device has elsewhere.
var otherLogins = limit.PerSecond(1, 5)

// paceOther waits for as long as a login of another device than the connection's has to. Who has waited for the backoff
// does not wait again.
func (s *session) paceOther() error {
	for s.device != nil && !s.others.Take(1, time.Now(), otherLogins) {
		if err := s.conn.Pause(otherLogins.Interval); err != nil {
			return err
		}
	}
	return nil
}

// loginSource is whose logins the backoff counts.
func (s *session) loginSource(imei string, refused bool) loginSource {
	return loginSource{network: s.conn.Network(), imei: imei, refused: refused}
}

// reject refuses the login.
func (s *session) reject(imei string, known bool, why string) ingest.CloseReason {
	s.refused("rejected", known)
	s.Devices.Rejected(imei, devices.Login{
		At: devices.Time{Time: time.Now()}, Reason: why, Address: s.conn.RemoteAddr().String(),
	})
	if err := s.answerLogin(teltonika.LoginRefuse); err != nil {
		return s.writeFailed(err)
	}
	return ReasonRejected
}

// answerLogin writes the answer between two commands, if the device gets any.
func (s *session) answerLogin(answer byte) error {
	if s.device != nil {
		s.device.begin()
		defer s.device.end(false)
	}
	return s.answer([]byte{answer})
}

// readLogin reads the login that has begun, `length u16 | identifier`, and returns its identifier and what there is of
// its bytes. What of head is behind it stays there.
func (s *session) readLogin() (imei string, login []byte, err error) {
	length, err := teltonika.ParseLoginLength(s.head[:s.have])
	if err != nil {
		return "", s.head[:s.have], err
	}
	login = make([]byte, 2+length)
	n := copy(login, s.head[:s.have])
	s.have = uint8(copy(s.head[:], s.head[n:s.have]))
	for {
		imei, err := teltonika.ParseLogin(login[:n])
		if !errors.Is(err, teltonika.ErrIncomplete) {
			return imei, login[:n], err
		}
		m, err := s.conn.Read(login[n:])
		if n += m; err != nil {
			return "", login[:n], &partial{inside: "login", first: login[:n], have: n, size: len(login), error: err}
		}
	}
}

// loginFailed ends a connection whose login is none, or is not all there.
func (s *session) loginFailed(login []byte, err error) ingest.CloseReason {
	if cut := (*partial)(nil); errors.As(err, &cut) {
		return s.cutShort(cut, cut.error)
	}
	if s.device != nil {
		return s.lost(login, err)
	}
	s.refused("malformed", false)
	login = s.more(login)
	s.knock(stranger.CauseMalformedLogin, login, "")
	attrs := []any{"remote", s.conn.RemoteAddr().String(), "first", firstBytes(login), "error", err}
	if p, known := stranger.Identify(login); known {
		attrs = append(attrs, "cause", p.Text)
	}
	s.Logger.Log(context.Background(), s.refusalLevel(), "login malformed", attrs...)
	return ReasonMalformedLogin
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
