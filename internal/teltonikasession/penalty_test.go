package teltonikasession

import (
	"fmt"
	"testing"
	"time"
)

func TestPenaltyGrowsAndEnds(t *testing.T) {
	p, now := newPenalties(), time.Unix(1_800_000_000, 0)
	if d := p.due("a", now); d != 0 {
		t.Errorf("%v before any offence", d)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 16, 16} {
		p.add("a", now)
		if d := p.due("a", now); d != want*time.Second {
			t.Errorf("%v, want %v", d, want*time.Second)
		}
	}
	for range 1000 {
		p.add("a", now)
	}
	if d := p.due("a", now.Add(penaltyMemory-time.Second)); d != maxPenalty {
		t.Errorf("%v after a thousand offences", d)
	}
	if d := p.due("a", now.Add(penaltyMemory)); d != 0 {
		t.Errorf("%v after %v", d, penaltyMemory)
	}
	p.end("a")
	if d := p.due("a", now); d != 0 {
		t.Errorf("%v after the end", d)
	}
}

// A clock that is set back must not keep what was noted before for as long as it was wrong.
func TestClockThatGoesBack(t *testing.T) {
	wrong, right := time.Unix(1_900_000_000, 0), time.Unix(1_800_000_000, 0)
	p := newPenalties()
	p.add("a", wrong)
	if d := p.due("a", right); d != 0 {
		t.Errorf("the login waits %v", d)
	}
	a := newAllowance()
	for a.take("a", wrong) {
	}
	if !a.take("a", right) {
		t.Error("no dead letter is taken")
	}
	for range deadLetterBurst - 1 {
		a.take("a", right)
	}
	if a.take("a", right) {
		t.Error("more than the burst is taken")
	}
}

func TestPenaltyOfOneDeviceOnly(t *testing.T) {
	p, now := newPenalties(), time.Unix(1_800_000_000, 0)
	p.add("offender", now)
	for i := range 200_000 {
		if imei := fmt.Sprint(i); p.due(imei, now) > 0 {
			// 15 bits of the cell and 16 of the tag: one in two thousand million devices.
			t.Errorf("device %s waits %v", imei, p.due(imei, now))
		}
	}
}

func TestOffenderWaitsLonger(t *testing.T) {
	serve(t, func(s *service) {
		d := s.loginAfter(0)
		for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 16} {
			d.send(bodyFrame(0x61, 1, 1))
			d.expectClosed("")
			d = s.loginAfter(seconds * time.Second)
		}
		d.send(goodFrame(1))
		d.expect("00000001")
		d.conn.Close()
		s.loginAfter(0).conn.Close()
	})
}

// loginAfter logs in and expects the answer at that time and not before.
func (s *service) loginAfter(wait time.Duration) *device {
	s.Helper()
	d := s.dial()
	d.send(loginOf(imei))
	if wait > 0 {
		pass(wait - time.Millisecond)
		d.expect("")
		pass(time.Millisecond)
	}
	d.expect("01")
	return d
}

// loginAfterPenalty logs in however long that takes.
func (s *service) loginAfterPenalty() *device {
	s.Helper()
	d := s.dial()
	d.send(loginOf(imei))
	pass(maxPenalty)
	d.expect("01")
	return d
}
