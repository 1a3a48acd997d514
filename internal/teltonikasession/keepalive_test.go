package teltonikasession

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

func keepAlives(n int) []byte { return bytes.Repeat([]byte{0xFF}, n) }

func TestKeepAlivesAreSkipped(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 8, 9, 15, 16, 1000} {
		serve(t, func(s *service) {
			d := s.dial()
			d.send(keepAlives(n))
			d.send(loginOf(imei))
			d.send(keepAlives(n))
			d.send(goodFrame(1))
			d.send(slices.Concat(keepAlives(n), goodFrame(2), keepAlives(n), goodFrame(3), keepAlives(n)))
			d.expect("01" + ack(1) + ack(2) + ack(3))
			d.expectAlive()
		})
	}
}

// However keep-alives and header bytes fall into segments, the header begins at the first byte that is not FF.
func TestKeepAlivesTogetherWithHeaderBytes(t *testing.T) {
	for cut := 0; cut <= 8; cut++ {
		serve(t, func(s *service) {
			d := s.login()
			frame := goodFrame(1)
			d.send(slices.Concat(keepAlives(5), frame[:cut]))
			d.send(frame[cut:])
			d.expect(ack(1))
		})
	}
}

// No frame has begun before its first zero; after it FF is part of the frame.
func TestKeepAliveInsideAHeaderIsNoKeepAlive(t *testing.T) {
	for at := 1; at <= 3; at++ {
		serve(t, func(s *service) {
			d := s.login()
			d.send(slices.Insert(goodFrame(1), at, 0xFF))
			d.expectClosed("")
			s.expectReason(ReasonBadFrame)
		})
	}
}

func TestKeepAliveIsASignOfLife(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		for range 10 {
			pass(idleTimeout - time.Second)
			d.send(keepAlives(1))
			d.expect("")
		}
		d.expectAlive()
		pass(idleTimeout)
		d.expectClosed("")
		s.expectReason(ingest.ReasonIdleTimeout)
	})
}
