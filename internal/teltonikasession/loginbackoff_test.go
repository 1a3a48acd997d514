package teltonikasession

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
)

var someLogin = loginSource{imei: "a"}

func TestLoginBackoffGrowsAndEnds(t *testing.T) {
	b, now := newLoginBackoff(), time.Unix(1_800_000_000, 0)
	if d := b.due(someLogin, now); d != 0 {
		t.Errorf("%v without a reason", d)
	}
	for _, want := range []time.Duration{1, 2, 2, 2} {
		b.grow(someLogin, now)
		if d := b.due(someLogin, now); d != want*time.Second {
			t.Errorf("%v, want %v", d, want*time.Second)
		}
	}
	for range 1000 {
		b.grow(someLogin, now)
	}
	if d := b.due(someLogin, now.Add(loginBackoffMemory-time.Second)); d != maxLoginBackoff {
		t.Errorf("%v after a thousand reasons", d)
	}
	if d := b.due(someLogin, now.Add(loginBackoffMemory)); d != 0 {
		t.Errorf("%v after %v", d, loginBackoffMemory)
	}
	b.end(someLogin)
	if d := b.due(someLogin, now); d != 0 {
		t.Errorf("%v after the end", d)
	}
}

// A clock that is set back must not keep what was noted before for as long as it was wrong.
func TestClockThatGoesBack(t *testing.T) {
	wrong, right := time.Unix(1_900_000_000, 0), time.Unix(1_800_000_000, 0)
	b := newLoginBackoff()
	b.grow(someLogin, wrong)
	if d := b.due(someLogin, right); d != 0 {
		t.Errorf("the login waits %v", d)
	}
	a := newDeadLetterQuota(deadLetterBytes, maxFrameBytes)
	for a.spend(&source{Origin: record.Origin{DeviceID: "a"}}, 1, wrong) {
	}
	if !a.spend(&source{Origin: record.Origin{DeviceID: "a"}}, 1, right) {
		t.Error("no dead letter is taken")
	}
	for range deadLetterBurst - 1 {
		a.spend(&source{Origin: record.Origin{DeviceID: "a"}}, 1, right)
	}
	if a.spend(&source{Origin: record.Origin{DeviceID: "a"}}, 1, right) {
		t.Error("more than the burst is taken")
	}
}

func TestLoginBackoffOfOneDeviceOnly(t *testing.T) {
	b, now := newLoginBackoff(), time.Unix(1_800_000_000, 0)
	b.grow(someLogin, now)
	for i := range 200_000 {
		if d := b.due(loginSource{imei: fmt.Sprint(i)}, now); d > 0 {
			// 15 bits of the cell and 16 of the tag: one in two thousand million devices.
			t.Errorf("device %d waits %v", i, d)
		}
	}
}

func TestDeviceThatIsClosedAgainAndAgainWaits(t *testing.T) {
	serve(t, func(s *service) {
		d := s.loginAfter(0)
		for _, seconds := range []time.Duration{1, 2, 2, 2, 2} {
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

// A device that waits for its answer says its login again. Both are answered, and neither makes it wait longer.
func TestRepeatedLoginOfADeviceThatWaits(t *testing.T) {
	serve(t, func(s *service) {
		for range 5 {
			d := s.dial()
			d.send(loginOf(imei))
			pass(maxLoginBackoff)
			d.expect("01")
			d.send(bodyFrame(0x61, 1, 1))
			d.expectClosed("")
		}
		d := s.dial()
		d.send(loginOf(imei))
		pass(maxLoginBackoff / 2)
		go d.send(loginOf(imei)) // which nobody reads before the first one's time
		pass(maxLoginBackoff / 2)
		d.expect("0101")
		d.expectAlive()
	})
}

// A stranger who misbehaves under a device's IMEI elsewhere makes nobody wait but himself.
func TestStrangerDoesNotMakeADeviceWait(t *testing.T) {
	serve(t, func(s *service) {
		for range 5 {
			stranger := s.dialFrom("203.0.113.9")
			stranger.send(loginOf(imei))
			pass(maxLoginBackoff)
			stranger.expect("01")
			stranger.send([]byte("garbage!"))
			stranger.expectClosed("")
		}
		d := s.dialFrom("198.51.100.1")
		d.send(loginOf(imei))
		d.expect("01")
	})
}

// switching is an authority whose list changes.
type switching struct{ known atomic.Bool }

func (s *switching) Known(string) bool { return s.known.Load() }

// A device that comes again and again although it is refused waits, and is let in at once when it is on the list.
func TestDeviceThatHasJustBecomeKnownIsLetIn(t *testing.T) {
	list := &switching{}
	serve(t, func(s *service) {
		for _, wait := range []time.Duration{0, firstLoginBackoff, maxLoginBackoff, maxLoginBackoff} {
			d := s.dial()
			d.send(loginOf(imei))
			if wait > 0 {
				pass(wait - time.Millisecond)
				d.expect("")
				pass(time.Millisecond)
			}
			d.expectClosed("00")
		}
		list.known.Store(true)
		d := s.loginAfter(0)
		d.expectAlive()
	}, strict, func(o *Options) { o.Authority = list })
}

// loginAfter logs in and expects the answer at that time and not before.
func (s *service) loginAfter(wait time.Duration) *tracker {
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

// loginAfterBackoff logs in however long that takes.
func (s *service) loginAfterBackoff() *tracker {
	s.Helper()
	d := s.dial()
	d.send(loginOf(imei))
	pass(maxLoginBackoff)
	d.expect("01")
	return d
}
