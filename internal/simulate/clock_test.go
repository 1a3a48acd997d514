package simulate

import (
	"testing"
	"time"
)

// checkClocks expects that no record was stamped later than it arrived, and that no device has used a stamp twice.
func checkClocks(t *testing.T, s *server) {
	t.Helper()
	ahead := 0
	for imei, arrivals := range s.arrivals {
		stamps := make(map[uint64]bool)
		for _, a := range arrivals {
			for _, r := range a.records {
				if stamps[r.Timestamp] {
					t.Errorf("device %s has stamped two records with %d", imei, r.Timestamp)
				}
				stamps[r.Timestamp] = true
				if int64(r.Timestamp) > a.at.UnixMilli() {
					ahead++
				}
			}
		}
	}
	if ahead > 0 {
		t.Errorf("%d records arrived before their time", ahead)
	}
}

// TestClockNeverRunsAheadAtFullRate: devices that have caught up with the time record no faster than it passes.
func TestClockNeverRunsAheadAtFullRate(t *testing.T) {
	for _, order := range []Order{NewestFirst, OldestFirst} {
		s := &server{tb: t}
		o := small(s.listen(), 3, 0)
		o.Start, o.Duration, o.Order = time.Now(), 500*time.Millisecond, order
		o.Reconnect, o.Burst = 0.05, 50
		l := run(t, o)
		s.close()
		checkClocks(t, s)
		if !l.OK() || l.RecordsSent < 100 || l.RecordsSent > 3*2000 {
			t.Errorf("%s: %d records in half a second, expected about one a millisecond of each device",
				order, l.RecordsSent)
		}
	}
}

// TestFullRateIsOfThePast: without a start the devices have a backlog that is not used up.
func TestFullRateIsOfThePast(t *testing.T) {
	s := &server{tb: t}
	o := small(s.listen(), 2, 5000)
	o.Start = time.Time{}
	l := run(t, o)
	s.close()
	checkComplete(t, s, l, 5000)
	checkClocks(t, s)
}

// TestClockNeverRunsAheadOfASchedule looks at a thousand seconds.
func TestClockNeverRunsAheadOfASchedule(t *testing.T) {
	for _, rate := range []float64{0.5, 20, 5000} {
		o := small("", 10, 0)
		o.Rate, o.Duration = rate, time.Duration(20_000/rate)*time.Second
		o.Reconnect, o.Burst = 0.01, 100
		s := new(server)
		inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
			checkComplete(t, s, l, l.RecordsSent)
			checkClocks(t, s)
		})
	}
}
