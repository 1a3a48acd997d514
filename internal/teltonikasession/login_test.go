package teltonikasession

import (
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

func strict(o *Options) { o.StrictAuth = true }

func TestLoginAcceptsEveryIdentifierOfTheProtocol(t *testing.T) {
	for _, id := range []string{imei, "1", "35630704244101", "3563070424410131", "Tracker7", strings.Repeat("a", 64)} {
		serve(t, func(s *service) {
			d := s.dial()
			d.send(loginOf(id))
			d.expect("01")
			d.expectAlive()
			if got := s.engine.Records()[0].DeviceID; got != id {
				t.Errorf("stored for %q, want %q", got, id)
			}
			label := "known=unknown"
			if id == imei {
				label = "known=known"
			}
			s.expectMetric(1, "teltonika_handshake_total", "result=accepted", label)
		})
	}
}

func TestLoginStrict(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.expectAlive()
		s.expectMetric(1, "teltonika_handshake_total", "result=accepted", "known=known")
	}, strict)
	serve(t, func(s *service) {
		d := s.dial()
		d.send(loginOf("350000000000000"))
		d.expectClosed("00")
		s.expectMetric(1, "teltonika_handshake_total", "result=rejected", "known=unknown")
		s.expectReason(ReasonRejected)
	}, strict)
}

// A refused device must not end the connection of the device that it pretends to be, nor leave anything behind.
func TestLoginRefusedTakesNothingOver(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		other := s.dial()
		other.send(loginOf("350000000000000"))
		other.expectClosed("00")
		d.expectAlive()
	}, strict)
}

func TestLoginMalformedClosesWithoutAnswer(t *testing.T) {
	withByte := func(c byte) []byte {
		b := loginOf(imei)
		b[9] = c
		return b
	}
	for name, sent := range map[string][]byte{
		"length 0":            {0, 0},
		"length 65":           {0, 65},
		"longest length":      {0xFE, 0xFF},
		"space":               withByte(' '),
		"NUL":                 withByte(0),
		"letter beyond ASCII": withByte(0xE4),
		"frame before login":  goodFrame(1),
		"HTTP":                []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
		"TLS":                 {0x16, 0x03, 0x01, 0x02, 0x00, 0x01},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.dial()
				d.send(sent)
				d.expectClosed("")
				s.expectMetric(1, "teltonika_handshake_total")
				s.expectMetric(1, "teltonika_handshake_total", "result=malformed", "known=unknown")
				s.expectReason(ReasonMalformedLogin)
				s.expectStored(0, 0)
			})
		})
	}
}

func TestLoginBrokenOffIsNoHandshake(t *testing.T) {
	for _, sent := range [][]byte{nil, {0xFF}, {0}, loginOf(imei)[:10]} {
		serve(t, func(s *service) {
			d := s.dial()
			d.send(sent)
			d.conn.Close()
			d.answers()
			s.expectMetric(0, "teltonika_handshake_total")
			s.expectReason(ingest.ReasonPeerClosed)
		})
	}
}

// One line at the login and one at the close, whatever happens between.
func TestLoginAndCloseAreLogged(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.expectAlive()
		d.conn.Close()
		d.answers()
		if n := s.log.Count("level="); n != 2 {
			t.Errorf("%d lines logged, want 2:\n%s", n, s.log)
		}
		for _, part := range []string{`msg="device connected" imei=` + imei, `msg="device disconnected" imei=` + imei,
			"transport=tcp known=true", "reason=peer_closed", "frames=1 records=2"} {
			if s.log.Count(part) != 1 {
				t.Errorf("no %s in the log:\n%s", part, s.log)
			}
		}
	})
	serve(t, func(s *service) {
		// The device vanishes before it has read the answer.
		conn := s.listener.Dial()
		conn.Write(loginOf(imei))
		conn.Close()
		s.stop()
		if s.log.Count("device connected") != 1 || s.log.Count("device disconnected") != 1 {
			t.Errorf("logged:\n%s", s.log)
		}
	})
}

// The login and the first frames may come in one segment, and behind keep-alives.
func TestLoginAndFramesInOneSegment(t *testing.T) {
	serve(t, func(s *service) {
		d := s.dial()
		d.send(slices.Concat([]byte{0xFF, 0xFF}, loginOf(imei), goodFrame(1), goodFrame(2)))
		d.expect("01" + ack(1) + ack(2))
		s.expectStored(3, 0)
	})
}
