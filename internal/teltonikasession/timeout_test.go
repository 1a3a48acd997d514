package teltonikasession

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest/ingesttest"
)

// closesAfter checks that the server closes the connection without an answer at that time and not before.
func (d *tracker) closesAfter(timeout time.Duration) {
	d.Helper()
	pass(timeout - time.Millisecond)
	d.expect("")
	pass(time.Millisecond)
	d.expectClosed("")
}

func TestHandshakeTimeout(t *testing.T) {
	for name, sent := range map[string][]byte{
		"nothing":           {},
		"keep-alive":        keepAlives(1),
		"half a length":     {0},
		"half a login":      loginOf(imei)[:9],
		"all but one digit": loginOf(imei)[:16],
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.dial()
				d.send(sent)
				d.closesAfter(handshakeTimeout)
				s.expectReason(ingest.ReasonHandshakeTimeout)
				s.expectMetric(0, "teltonika_handshake_total")
			})
		})
	}
}

// The timeout is for the whole login: neither bytes of it nor keep-alives give more time.
func TestHandshakeTimeoutIsNotExtended(t *testing.T) {
	for name, next := range map[string]func(i int) []byte{
		"login byte by byte": func(i int) []byte { return loginOf(imei)[i : i+1] },
		"keep-alives":        func(int) []byte { return keepAlives(1) },
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.dial()
				for i := range 14 { // 28 s
					d.send(next(i))
					pass(2 * time.Second)
					d.expect("")
				}
				d.closesAfter(2 * time.Second)
				s.expectReason(ingest.ReasonHandshakeTimeout)
			})
		})
	}
}

// slow is a transport that takes its time, and then is what was there before.
type slow time.Duration

func (d slow) Open(_ context.Context, conn net.Conn, _ func(net.Addr) error) (ingest.Opened, error) {
	time.Sleep(time.Duration(d))
	return ingest.Opened{Conn: conn, Name: transportTLS}, nil
}

func (slow) Relays(net.Addr) bool { return false }

// What the transport has taken of the timeout is gone: slow TLS and a slow login have it together.
func TestHandshakeTimeoutIsForTheTransportToo(t *testing.T) {
	for name, c := range map[string]struct{ opening, left time.Duration }{
		"in time": {handshakeTimeout - 10*time.Second, 10 * time.Second},
		"beyond":  {handshakeTimeout + time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				l := ingesttest.NewListener()
				s.server.Serve(l, slow(c.opening))
				s.listener = l
				d := s.dial()
				d.send(loginOf(imei)[:9]) // which waits until somebody reads
				if c.left > 0 {
					d.closesAfter(c.left)
				} else {
					d.expectClosed("")
				}
				s.expectReason(ingest.ReasonHandshakeTimeout)
			})
		})
	}
}

func TestHandshakeInTimeMaySlowlyComplete(t *testing.T) {
	serve(t, func(s *service) {
		d := s.dial()
		for _, c := range loginOf(imei) {
			d.send([]byte{c})
			pass(time.Second)
		}
		d.expect("01")
		pass(handshakeTimeout + time.Second) // is over with the login
		d.expectAlive()
	})
}

func TestIdleTimeout(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		pass(idleTimeout / 2)
		d.send(keepAlives(1))
		d.closesAfter(idleTimeout)
		s.expectReason(ingest.ReasonIdleTimeout)
	})
}

// A frame, or another login, that has begun comes to its end within a minute, however its bytes trickle in, and what is
// known of it is logged.
func TestFrameBegunMustEnd(t *testing.T) {
	large := largeFrame(t, 10_000)
	for name, c := range map[string]struct {
		sent   []byte
		logged []string
	}{
		"one byte":      {goodFrame(1)[:1], []string{"inside=frame", "have=1", "first=00"}},
		"half a header": {goodFrame(1)[:5], []string{"inside=frame", "have=5", "first=0000000000"}},
		"a header":      {goodFrame(1)[:8], []string{"inside=frame", "have=8", "size=55", "first=000000000000002b "}},
		"a frame but one byte": {goodFrame(1)[:54],
			[]string{"inside=frame", "have=54", "size=55", "first=000000000000002b "}},
		"half a large frame":  {large[:5000], []string{"inside=frame", "have=5000", "first=000000000000273d "}},
		"one byte of a login": {[]byte{1}, []string{"inside=frame", "have=1", "first=01"}},
		"half a login": {loginOf(imei)[:9],
			[]string{"inside=login", "have=9", "size=17", "first=000f33353633303730 "}},
	} {
		for _, trickles := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				serve(t, func(s *service) {
					d := s.login()
					pass(idleTimeout / 2)
					if begin := c.sent[:len(c.sent)/2]; trickles && len(begin) > 0 {
						d.send(begin)
						pass(frameTimeout / 2)
						d.send(c.sent[len(begin):])
						d.closesAfter(frameTimeout / 2)
					} else {
						d.send(c.sent)
						d.closesAfter(frameTimeout)
					}
					s.expectReason(ReasonFrameTimeout)
					for _, part := range append(c.logged, "connection ended inside a frame or login", "imei="+imei, "remote=pipe",
						"reason=frame_timeout", `cause="the rest did not come in time`) {
						if s.log.Count(part) == 0 {
							t.Errorf("no %s in the log:\n%s", part, s.log)
						}
					}
				})
			})
		}
	}
}

// A connection that ends inside a frame or login says so; one that ends between them, or that has said nothing, does
// not.
func TestConnectionEndsInsideAFrameOrLogin(t *testing.T) {
	frame := goodFrame(1)
	for name, c := range map[string]struct {
		login  bool
		sent   []byte
		logged string
	}{
		"nothing":     {false, nil, ""},
		"keep-alives": {false, keepAlives(3), ""},
		"half a login": {false, loginOf(imei)[:10],
			"reason=peer_closed inside=login have=10 size=17 first=000f3335363330373034"},
		"one byte of a login": {false, loginOf(imei)[:1], "reason=peer_closed inside=login have=1 size=0 first=00"},
		"a whole frame":       {true, frame, ""},
		"keep-alives later":   {true, keepAlives(2), ""},
		"half a header": {true, frame[:4], "imei=" + imei +
			" remote=pipe transport=tcp reason=peer_closed inside=frame have=4 size=0 first=00000000"},
		"a frame but one byte": {true, frame[:len(frame)-1],
			"reason=peer_closed inside=frame have=54 size=55 first=000000000000002b"},
		"half another login": {true, loginOf("12345")[:4], "reason=peer_closed inside=login have=4 size=7 first=00053132"},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.dial()
				if c.login {
					d.send(loginOf(imei))
				}
				d.send(c.sent)
				synctest.Wait() // until the server waits for the rest
				d.conn.Close()
				d.answers()
				s.expectReason(ingest.ReasonPeerClosed)
				if n := s.log.Count("connection ended inside"); n != min(1, len(c.logged)) || n > 0 &&
					s.log.Count(c.logged+" ") == 0 {
					t.Errorf("%d lines, want %q:\n%s", n, c.logged, s.log)
				}
			})
		})
	}
}

// What ends a connection on our side is no mystery.
func TestStopInsideAFrameIsNotLogged(t *testing.T) {
	serve(t, func(s *service) {
		d, older := s.login(), s.loginAs("356307042441099")
		d.send(goodFrame(1)[:20])
		older.send(goodFrame(1)[:20])
		s.loginAs("356307042441099")
		s.stop()
		if n := s.log.Count("connection ended inside"); n != 0 {
			t.Errorf("%d lines:\n%s", n, s.log)
		}
	})
}

// A peer that does not read blocks its own session only, and only for the write timeout.
func TestWriteTimeout(t *testing.T) {
	t.Run("login", func(t *testing.T) {
		serve(t, func(s *service) {
			conn := s.listener.Dial()
			defer conn.Close()
			conn.Write(loginOf(imei))
			pass(writeTimeout - time.Millisecond)
			s.expectMetric(0, "teltonika_connections_closed_total")
			pass(time.Millisecond)
			s.expectReason(ReasonWriteTimeout)
		})
	})
	t.Run("refusal", func(t *testing.T) {
		serve(t, func(s *service) {
			conn := s.listener.Dial()
			defer conn.Close()
			conn.Write(loginOf("350000000000000"))
			pass(writeTimeout)
			s.expectReason(ReasonWriteTimeout)
		}, strict)
	})
	for name, frame := range map[string][]byte{"ack": goodFrame(3), "ack of a dead letter": malformed(3)} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				conn := s.listener.Dial()
				defer conn.Close()
				conn.Write(loginOf(imei))
				conn.Read(make([]byte, 1))
				conn.Write(frame)
				synctest.Wait()
				s.expectMetric(3, "teltonika_records_received_total")
				pass(writeTimeout)
				s.expectReason(ReasonWriteTimeout)
			})
		})
	}
}

// A frame whose ACK does not get through is stored; sent again on the next connection it is a duplicate.
func TestFrameAgainAfterAnAckThatDidNotGetThrough(t *testing.T) {
	serve(t, func(s *service) {
		frame := goodFrame(3)
		conn := s.listener.Dial()
		conn.Write(loginOf(imei))
		conn.Read(make([]byte, 1))
		conn.Write(frame)
		conn.Close()

		d := s.login()
		d.send(frame)
		d.expect(ack(3))
		s.expectStored(3, 0)
		s.expectMetric(3, "teltonika_records_published_total")
		s.expectMetric(3, "teltonika_records_duplicate_total")
	})
}
