package teltonikasession

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

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

// inHand is how many bytes of the budget large frames have.
func (s *service) inHand() int {
	b := s.adapter.largeFrames
	b.mu.Lock()
	defer b.mu.Unlock()
	return largeFrameBudget - b.free
}

func (s *service) expectInHand(want int) {
	s.Helper()
	synctest.Wait()
	if n := s.inHand(); n != want {
		s.Errorf("%d bytes of large frames in hand, want %d", n, want)
	}
}

// leave leaves so many bytes of the budget, until the function that it returns is called.
func (s *service) leave(bytes int) (end func()) {
	b := s.adapter.largeFrames
	set := func(bytes int) (before int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		before, b.free = b.free, b.free+bytes
		b.serve()
		return before
	}
	left := set(0)
	set(bytes - left)
	b.mostFinishers = 0
	return func() { set(left - bytes) }
}

// A length that is only announced has none of the budget. What arrives has, until the ACK or the end.
func TestBudgetIsForBytesThatHaveArrived(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := largeFrame(t, 10_000)
		d.send(frame[:8])
		s.expectInHand(0)
		d.send(frame[8:2000])
		s.expectInHand(0)
		d.send(frame[2000:5000])
		s.expectInHand(8 << 10)
		d.closesAfter(frameTimeout)
		s.expectInHand(0)

		d = s.login()
		d.send(frame)
		d.expect("00000001")
		s.expectInHand(0)
	})
}

func TestNoMemoryForALargeFrame(t *testing.T) {
	serve(t, func(s *service) {
		defer s.leave(1 << 10)()
		small, large := s.login(), s.loginAs("356307042441099")
		large.send(largeFrame(t, 3000)[:firstFrame])
		small.send(goodFrame(1))
		small.expect("00000001")
		large.closesAfter(budgetTimeout)
		s.expectReason(ReasonOverload)
	})
}

func TestLargeFrameWaitsForMemory(t *testing.T) {
	serve(t, func(s *service) {
		end := s.leave(1 << 10)
		d := s.login()
		go d.send(largeFrame(t, 3000)) // of which not all is read
		pass(budgetTimeout - time.Second)
		d.expect("")
		end()
		d.expect("00000001")
	})
}

// While another waits, a frame that stalls ends; one that is slow and comes on does not.
func TestStalledFrameEndsForOneThatWaits(t *testing.T) {
	serve(t, func(s *service) {
		slow, stalled := s.loginAs("350000000000001"), s.loginAs("350000000000002")
		frame := largeFrame(t, 10_000)
		defer s.leave(4 * 8 << 10)() // of which an address may have half
		slow.send(frame[:5000])
		stalled.send(frame[:5000])
		pass(time.Minute / 4)
		stalled.expect("") // nobody waits
		d := s.login()
		slow.send(frame[5000:7000])
		go d.send(largeFrame(t, 3000))
		pass(stallCheck)
		stalled.expectClosed("")
		s.expectReason(ReasonOverload)
		d.expect("00000001")
		slow.send(frame[7000:])
		slow.expect("00000001")
	})
}

// Whatever an address has of the budget, of frames that it trickles or of many finishers, there is some left for
// another.
func TestAddressLeavesSomeOfTheBudget(t *testing.T) {
	for name, finishers := range map[string]int{"bytes": 0, "finishers": 4} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				bytes := 64 << 10
				if finishers > 0 {
					bytes = 0
				}
				defer s.leave(bytes)()
				s.adapter.largeFrames.mostFinishers = finishers
				frame := largeFrame(t, 10_000)
				for i := range 20 {
					trickles := s.loginFrom("203.0.113.9", fmt.Sprint("made", i))
					go trickles.send(frame[:5000])
				}
				synctest.Wait()
				d := s.loginFrom("198.51.100.1", imei)
				d.send(largeFrame(t, 3900))
				d.expect("00000001")
			})
		})
	}
}

// A frame that comes so slowly that it would not be complete for a long time is one that stalls.
func TestTrickledFrameEndsForOneThatWaits(t *testing.T) {
	serve(t, func(s *service) {
		trickled := s.loginAs("350000000000002")
		frame := largeFrame(t, 60_000)
		defer s.leave(122_000)() // less than twice what both have
		trickled.send(frame[:33_000])
		d := s.login()
		go d.send(largeFrame(t, 3000))
		for at := 33_000; at < 33_000+5*1100; at += 1100 {
			go trickled.send(frame[at : at+1100])
			pass(time.Second)
		}
		trickled.expectClosed("")
		d.expect("00000001")
	})
}

// loginFrom logs in from an address.
func (s *service) loginFrom(ip, id string) *tracker {
	s.Helper()
	d := s.dialFrom(ip)
	d.send(loginOf(id))
	d.expect("01")
	return d
}

// Frames that have all the budget and all wait for more come to their ends one after the other.
func TestFramesDoNotWaitForEachOther(t *testing.T) {
	serve(t, func(s *service) {
		frame := largeFrame(t, 10_000)
		var devices []*tracker
		for i := range 20 {
			d := s.loginAs(string(rune('A'+i)) + "lpha")
			d.send(frame[:3000]) // has 4 KiB, and will need 16 at last
			devices = append(devices, d)
		}
		synctest.Wait()
		defer s.leave(0)()
		s.adapter.largeFrames.mostFinishers = 1
		for _, d := range devices {
			go d.send(frame[3000:])
		}
		synctest.Wait()
		for _, d := range devices {
			d.expect("00000001")
		}
	})
}
