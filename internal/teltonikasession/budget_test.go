package teltonikasession

import (
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestBudgetWaitsAndGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(largeFrameBudget)
		if cap(b) != 4 {
			t.Fatalf("%d frames", cap(b))
		}
		for range cap(b) {
			if err := b.take(nil); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if err := b.take(nil); err != errBudget || time.Since(start) != budgetPatience {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.AfterFunc(time.Second, b.give)
		start = time.Now()
		if err := b.take(nil); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// largeFrame is a frame of one record with a variable element of so many bytes.
func largeFrame(t testing.TB, size int) []byte {
	t.Helper()
	r := teltonika.Record{Timestamp: 1_700_000_000_000}
	r.AddBytes(10829, teltonika.GroupX, make([]byte, size))
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{r}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// A device that begins a large frame and stops holds its part of the budget for a minute, and no longer.
func TestLargeFrameMustArrive(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := largeFrame(t, 10_000)
		d.send(frame[:5000])
		if n := len(s.adapter.largeFrames); n != 1 {
			t.Errorf("%d large frames in hand", n)
		}
		d.closesAfter(frameTimeout)
		if n := len(s.adapter.largeFrames); n != 0 {
			t.Errorf("%d large frames in hand at the end", n)
		}

		d = s.login()
		d.send(frame)
		d.expect("00000001")
		if n := len(s.adapter.largeFrames); n != 0 {
			t.Errorf("%d large frames in hand after the ACK", n)
		}
	})
}

func TestNoMemoryForALargeFrame(t *testing.T) {
	serve(t, func(s *service) {
		for range cap(s.adapter.largeFrames) {
			s.adapter.largeFrames <- struct{}{}
		}
		small, large := s.login(), s.loginAs("356307042441099")
		large.send(largeFrame(t, 3000)[:teltonika.HeaderSize])
		small.send(goodFrame(1))
		small.expect("00000001")
		large.closesAfter(budgetPatience)
		s.expectReason(ReasonOverload)
	})
}
