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
func (d *device) closesAfter(timeout time.Duration) {
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
				s.expectReason(ReasonHandshakeTimeout)
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
				s.expectReason(ReasonHandshakeTimeout)
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
				s.expectReason(ReasonHandshakeTimeout)
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
	for name, sent := range map[string][]byte{
		"nothing":              {},
		"half a header":        goodFrame(1)[:5],
		"a header":             goodFrame(1)[:8],
		"a frame but one byte": goodFrame(1)[:40],
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				pass(idleTimeout / 2)
				d.send(sent)
				if len(sent) == 0 {
					d.closesAfter(idleTimeout / 2)
				} else {
					d.closesAfter(idleTimeout)
				}
				s.expectReason(ingest.ReasonIdleTimeout)
			})
		})
	}
}

// The bytes of a frame's body do not give it more time: a frame that has begun arrives within one idle timeout.
func TestIdleTimeoutBoundsAFramesBody(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := goodFrame(1)
		d.send(frame[:8])
		for i := range 29 {
			pass(time.Minute)
			d.send(frame[8+i : 9+i])
			d.expect("")
		}
		d.closesAfter(time.Minute)
		s.expectReason(ingest.ReasonIdleTimeout)
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
