package teltonikasession

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

var errEngine = errors.New("engine is broken by the test")

func failWith(err error) func(*engine.Batch) error {
	return func(*engine.Batch) error { return err }
}

// fillQueue holds the engine and lets other devices put n records into the queue.
func (s *service) fillQueue(n int) {
	s.Helper()
	s.engine.Hold()
	for i := 0; n > 0; i++ {
		d := s.loginAs(fmt.Sprint(350000000000001 + i))
		d.send(goodFrame(min(n, 255)))
		d.expect("")
		n -= 255
	}
}

// A full queue refuses the whole frame at once; the session goes on, and the frame sent again later is taken.
func TestRefusedForOverflow(t *testing.T) {
	serve(t, func(s *service) {
		s.fillQueue(queueCapacity - 4)
		d := s.login()
		frame := goodFrame(5)
		d.send(frame)
		d.expect("")
		s.expectMetric(5, "teltonika_records_refused_total", "reason=overflow")
		s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=overflow")
		s.expectMetric(1, "teltonika_publish_overflow_total")
		d.send(bodyFrame(0x08, 0, 0)) // nothing to store, so not refused
		d.expect(ack(0))

		s.engine.Release()
		d.expect("") // a refused frame is never answered later
		d.send(frame)
		d.expect(ack(5))
		s.expectStored(queueCapacity+1, 0)
	})
}

// An engine that fails for good refuses the frame at once; the device tries again and again.
func TestRefusedByTheEngine(t *testing.T) {
	for name, err := range map[string]error{
		"permanent":    &engine.Error{Err: errEngine},
		"unclassified": errEngine,
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				s.engine.Fail(failWith(err))
				d := s.login()
				frame := goodFrame(4)
				for range 3 {
					d.send(frame)
					d.expect("")
				}
				s.expectMetric(12, "teltonika_records_refused_total", "reason=engine")
				s.expectMetric(3, "teltonika_frames_total", "codec=8", "result=publish_error")
				s.expectStored(0, 0)
				s.engine.Fail(nil)
				pass(time.Minute)
				d.expect("")
				d.send(frame)
				d.expect(ack(4))
				s.expectStored(4, 0)
			})
		})
	}
}

// One item that fails refuses its frame and no other one of the same batch.
func TestRefusedForOneRecord(t *testing.T) {
	serve(t, func(s *service) {
		s.storesInPart = true
		s.engine.Fail(func(b *engine.Batch) error {
			for i, r := range b.Records {
				if i > 0 && b.Records[i-1].DeviceID == imei && r.DeviceID == imei {
					b.Results[i].Err = &engine.Error{Err: errEngine}
				}
			}
			return nil
		})
		d := s.login()
		two, one := goodFrame(2), goodFrame(1)
		d.send(two)
		d.expect("")
		d.send(one)
		d.expect(ack(1))
		s.engine.Fail(nil)
		d.send(two)
		d.expect(ack(2))
	})
}

// A failure that a retry cures costs time and no answer.
func TestEngineThatRecoversInTimeIsNotNoticed(t *testing.T) {
	for name, err := range map[string]error{
		"transient": &engine.Error{Transient: true, Err: errEngine},
		"ambiguous": &engine.Error{Transient: true, Ambiguous: true, Err: errEngine},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				s.engine.Fail(failWith(err))
				d := s.login()
				d.send(goodFrame(4))
				pass(publishTimeout - 2*time.Second)
				d.expect("")
				s.engine.Fail(nil)
				pass(time.Second)
				d.expect(ack(4))
				s.expectStored(4, 0)
				s.expectMetric(0, "teltonika_records_refused_total")
			})
		})
	}
}

// An engine that hangs: no answer for that frame at any time, also when it is stored later. The resend is then a
// duplicate, and acknowledged.
func TestRefusedForTheTimeout(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Hold()
		d := s.login()
		frame := goodFrame(4)
		d.send(frame)
		pass(publishTimeout - time.Millisecond)
		s.expectMetric(0, "teltonika_records_refused_total")
		pass(time.Millisecond)
		d.expect("")
		s.expectMetric(4, "teltonika_records_refused_total", "reason=timeout")
		s.expectMetric(1, "teltonika_frames_total", "codec=8", "result=publish_error")

		s.engine.Release()
		pass(time.Minute)
		d.expect("")
		s.expectStored(4, 0)
		s.expectMetric(4, "teltonika_records_stored_late_total")

		d.send(frame)
		d.expect(ack(4))
		s.expectStored(4, 0)
		s.expectMetric(4, "teltonika_records_duplicate_total")
		s.expectMetric(0, "teltonika_records_published_total")
	})
}

// The device sends the frame again while the engine still hangs with the first copy.
func TestRefusedForTheTimeoutAndSentAgainMeanwhile(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Hold()
		d := s.login()
		frame := goodFrame(4)
		d.send(frame)
		pass(publishTimeout)
		d.send(frame)
		pass(publishTimeout / 2)
		d.expect("")
		s.engine.Release()
		d.expect(ack(4)) // for the second copy, and only once
		s.expectStored(4, 0)
	})
}

// The publish timeout of one frame does not touch the frames behind it.
func TestRefusedForTheTimeoutThenNextFrames(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Hold()
		d := s.login()
		go d.send(append(goodFrame(1), goodFrame(2)...))
		pass(publishTimeout)
		pass(time.Second)
		s.engine.Release()
		d.expect(ack(2))
		s.expectStored(3, 0)
	})
}

// Stopping: the frame at hand is stored and acknowledged before its session ends.
func TestStoppingFinishesTheFrameAtHand(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Hold()
		idle := s.loginAs("350000000000000")
		d := s.login()
		d.send(goodFrame(4))
		d.expect("")
		drained := make(chan error)
		go func() { drained <- s.server.Drain(context.Background()) }()
		pass(publishTimeout / 2)
		d.expect("")
		s.engine.Release()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		d.expect(ack(4))
		idle.expect("") // its socket is closed last
		s.expectStored(4, 0)
		s.stop()
		d.expectClosed("")
		idle.expectClosed("")
		s.expectMetric(2, "teltonika_connections_closed_total", "reason="+string(ingest.ReasonShutdown))
	})
}

// Frames that are not stored when the publisher is closed are refused.
func TestRefusedWhileStopping(t *testing.T) {
	serve(t, func(s *service) {
		s.engine.Hold()
		d := s.login()
		d.send(goodFrame(4))
		d.expect("")
		s.publisher.Close()
		d.send(goodFrame(1))
		d.expect("")
		s.expectMetric(5, "teltonika_records_refused_total", "reason=draining")
		s.expectStored(0, 0)
	})
}
