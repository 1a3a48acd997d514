package teltonikasession

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

func TestTakeOverClosesTheOlderConnection(t *testing.T) {
	serve(t, func(s *service) {
		older := s.login()
		older.expectAlive()
		newer := s.login()
		older.expectClosed("")
		s.expectReason(ingest.ReasonTakenOver)
		newer.expectAlive()
		s.expectMetric(1, "teltonika_connections_active")
	})
}

// The older connection's frame is stored after the take-over. It is not acknowledged there; sent again on the newer
// connection it is a duplicate.
func TestTakeOverWhileAFrameIsBeingStored(t *testing.T) {
	serve(t, func(s *service) {
		older := s.login()
		s.engine.Hold()
		frame := goodFrame(4)
		older.send(frame)
		older.expect("")
		newer := s.login()
		newer.send(frame)
		older.expectClosed("")
		newer.expect("")
		s.engine.Release()
		older.expectClosed("")
		newer.expect(ack(4))
		s.expectStored(4, 0)
		s.expectReason(ingest.ReasonTakenOver)
		s.expectMetric(4, "teltonika_records_published_total")
		s.expectMetric(4, "teltonika_records_duplicate_total")
	})
}

// The older session ends late, when a publish timeout wakes it. The newer connection must still be the device's:
// a third one takes over from it.
func TestTakeOverOlderSessionUnregistersNothing(t *testing.T) {
	serve(t, func(s *service) {
		older := s.login()
		s.engine.Hold()
		older.send(goodFrame(1))
		newer := s.login()
		pass(publishTimeout)
		older.expectClosed("")
		s.engine.Release()
		newer.expectAlive()
		third := s.login()
		newer.expectClosed("")
		third.expectAlive()
		s.expectMetric(2, "teltonika_connections_closed_total", "reason=taken_over")
	})
}

func TestTakeOverManyTimes(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		for range 100 {
			newer := s.login()
			d.expectClosed("")
			d = newer
		}
		d.expectAlive()
		s.expectMetric(1, "teltonika_connections_active")
	})
}

// A connection that has not logged in is nobody's and takes nothing over.
func TestTakeOverNeedsALogin(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		pending := s.dial()
		pending.send(loginOf(imei)[:16])
		pass(handshakeTimeout - time.Second)
		d.expectAlive()
		pending.send(loginOf(imei)[16:])
		pending.expect("01")
		d.expectClosed("")
	})
}
