package simulate

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inVirtualTime runs a fleet over pipes, with a clock that moves when all wait.
func inVirtualTime(t *testing.T, s *server, o Options, check func(t *testing.T, l Ledger)) {
	synctest.Test(t, func(t *testing.T) {
		s.tb = t
		o.Start = time.Now()
		if o.Dial == nil {
			o.Dial = s.dial()
		}
		l := run(t, o)
		s.wg.Wait()
		check(t, l)
	})
}

func within(got, expected, tolerance float64) bool {
	return math.Abs(got-expected) <= tolerance*expected
}

func TestRate(t *testing.T) {
	o := small("", 10, 0)
	o.Rate, o.Duration, o.KeepAlive = 20, 1000*time.Second, 2*time.Second
	s := new(server)
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, s, l, l.RecordsSent)
		if !within(float64(l.RecordsSent), 20*1000, 0.02) {
			t.Errorf("%d records in 1000 s, expected 20 a second", l.RecordsSent)
		}
		for imei, arrivals := range s.arrivals {
			newest := arrivals[len(arrivals)-1].records[0]
			if late := time.Since(time.UnixMilli(int64(newest.Timestamp))); late < 0 || late > 60*time.Second {
				t.Errorf("device %s: its clock is %v behind", imei, late)
			}
		}
		// A frame of 5.5 records every 2.75 s, on average: about 0.7 keep-alives between two.
		if l.KeepAlives < 1000 || int64(s.keepAlives) != l.KeepAlives {
			t.Errorf("%d keep-alives arrived, %d counted, expected 1000 or more", s.keepAlives, l.KeepAlives)
		}
		if l.Elapsed < 1000*time.Second || l.Elapsed > 1001*time.Second {
			t.Errorf("run took %v, expected 1000 s", l.Elapsed)
		}
	})
}

// TestRateFromTheStart makes sure that a fleet neither begins with a wave nor takes a while to get going.
func TestRateFromTheStart(t *testing.T) {
	o := small("", 1000, 0)
	o.Rate, o.Duration = 2000, 2*time.Second
	inVirtualTime(t, new(server), o, func(t *testing.T, l Ledger) {
		if !within(float64(l.RecordsSent), 4000, 0.05) {
			t.Errorf("%d records in the first 2 s, expected 2000 a second", l.RecordsSent)
		}
	})
}

func TestRamp(t *testing.T) {
	o := small("", 100, 100)
	o.Ramp = 10
	inVirtualTime(t, new(server), o, func(t *testing.T, l Ledger) {
		if l.Active < 9800*time.Millisecond || l.Active > 10*time.Second {
			t.Errorf("100 devices started in %v, expected 10 a second", l.Active)
		}
	})
}

// TestResponseTimeout has a server that leaves each device's second frame unanswered.
func TestResponseTimeout(t *testing.T) {
	s := &server{answer: func(a arrival) answer {
		if a.nth == 1 {
			return answer{}
		}
		return ack(len(a.records))
	}}
	inVirtualTime(t, s, small("", 5, 500), func(t *testing.T, l Ledger) {
		checkComplete(t, s, l, 500)
		if l.NoAnswer != 5 || l.FramesResent != 5 || l.Connections != 10 {
			t.Errorf("expected 5 frames that timed out: %+v", l)
		}
		if l.Elapsed < 30*time.Second || l.Elapsed > 35*time.Second {
			t.Errorf("run took %v, expected the response timeout of 30 s", l.Elapsed)
		}
		for imei, arrivals := range s.arrivals {
			if !same(arrivals[1], arrivals[2]) {
				t.Errorf("device %s did not send the same frame again", imei)
			}
		}
	})
}

// TestLatency has a server that takes a second for every answer.
func TestLatency(t *testing.T) {
	s := &server{answer: func(a arrival) answer {
		return answer{delay: time.Second, bytes: ack(len(a.records)).bytes}
	}}
	o := small("", 2, 100)
	o.RecordsPerFrame = Range{Min: 5, Max: 5}
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, s, l, 100)
		if l.Latency.P50 != time.Second || l.Latency.Max != time.Second {
			t.Errorf("latency is %+v, expected 1 s", l.Latency)
		}
		if !within(l.RecordsPerSecond(), 10, 0.001) {
			t.Errorf("%.2f records/s, expected 10", l.RecordsPerSecond())
		}
	})
}

// TestDrain has a server that falls silent for good: the run ends nevertheless, and says what is missing.
func TestDrain(t *testing.T) {
	s := &server{answer: func(a arrival) answer {
		if a.nth >= 5 {
			return answer{}
		}
		return ack(len(a.records))
	}}
	o := small("", 4, 0)
	o.RecordsPerFrame = Range{Min: 3, Max: 3}
	o.Duration, o.Drain = time.Minute, 40*time.Second
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		if l.OK() || l.Unacknowledged() != 12 || l.RecordsAcknowledged != 60 {
			t.Errorf("expected 4 frames of 3 records without an ACK: %+v", l)
		}
		if l.Elapsed != 100*time.Second {
			t.Errorf("run took %v, expected its minute and 40 s to drain", l.Elapsed)
		}
	})
}

func TestRefused(t *testing.T) {
	s := &server{login: func(imei string) []byte {
		if strings.HasSuffix(imei, "1") {
			return []byte{0}
		}
		return []byte{1}
	}}
	inVirtualTime(t, s, small("", 10, 1000), func(t *testing.T, l Ledger) {
		if l.OK() || l.GivenUp != 1 || l.LoginsRefused != maxRefusals || l.RecordsAcknowledged != 900 {
			t.Errorf("expected that one of ten devices is refused and gives up: %+v", l)
		}
	})
}

// TestOutage has no server for the first minute. The devices record on, as far as they have room, and send what they
// have, newest first.
func TestOutage(t *testing.T) {
	s := new(server)
	errDown := errors.New("server is down")
	began := time.Time{}
	o := small("", 1, 0)
	o.Rate, o.Duration, o.Backlog, o.Retry = 10, 2*time.Minute, 200, time.Second
	o.Dial = func(ctx context.Context, device int) (net.Conn, error) {
		if began.IsZero() {
			began = time.Now()
		}
		if time.Since(began) < time.Minute {
			return nil, errDown
		}
		return s.dial()(ctx, device)
	}
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, s, l, l.RecordsSent)
		// After 1, 2 and 4 seconds a device tries every 8.
		if l.ConnectFailures < 6 || l.ConnectFailures > 16 || l.LastFailure != errDown.Error() {
			t.Errorf("expected about 10 failures to connect: %+v", l)
		}
		if !within(float64(l.RecordsSent+l.NotRecorded), 1200, 0.02) || !within(float64(l.NotRecorded), 400, 0.2) {
			t.Errorf("%d records sent and %d not recorded, expected about 800 and 400", l.RecordsSent, l.NotRecorded)
		}
		arrivals := s.arrivals["350000000000000"]
		if late := time.Since(time.UnixMilli(int64(arrivals[len(arrivals)-1].records[0].Timestamp))); late > 5*time.Second {
			t.Errorf("the device's clock is %v behind", late)
		}
		first, second := arrivals[0], arrivals[1]
		if first.records[0].Timestamp <= second.records[0].Timestamp {
			t.Error("the backlog was not sent newest first")
		}
	})
}

// TestGap has devices of a schedule that go away for 100 records.
func TestGap(t *testing.T) {
	s := new(server)
	o := small("", 2, 0)
	o.Rate, o.Duration, o.Reconnect, o.Burst = 20, 1000*time.Second, 0.01, 100
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		checkComplete(t, s, l, l.RecordsSent)
		if l.Connections < 4 || !within(float64(l.RecordsSent), 20_000, 0.03) || l.NotRecorded != 0 {
			t.Errorf("expected all of 20 records a second, gaps or not: %+v", l)
		}
	})
}

// TestIdleLinkBreaks has a server that hangs up on an idle device, and then one that speaks to it unasked.
func TestIdleLinkBreaks(t *testing.T) {
	s := new(server)
	dialled := 0
	o := small("", 1, 0)
	o.Rate, o.Duration = 0.001, time.Minute
	o.Dial = func(ctx context.Context, device int) (net.Conn, error) {
		near, far := net.Pipe()
		dialled++
		turn := dialled
		s.wg.Go(func() {
			defer far.Close()
			if _, err := s.readLogin(far); err != nil {
				t.Error(err)
			}
			switch turn {
			case 1:
				return
			case 2:
				far.Write([]byte{0, 0, 0, 1})
			}
			s.readFrame(far) // until the device leaves
		})
		return near, nil
	}
	inVirtualTime(t, s, o, func(t *testing.T, l Ledger) {
		if l.Connections != 3 || l.WrongAnswers != 1 || l.RecordsSent != 0 || l.OK() {
			t.Errorf("expected 3 connections and one answer that nobody asked for: %+v", l)
		}
	})
}

func TestProgress(t *testing.T) {
	var lines strings.Builder
	o := small("", 5, 0)
	o.Rate, o.Duration, o.Progress = 100, 10500*time.Millisecond, &lines
	inVirtualTime(t, new(server), o, func(t *testing.T, l Ledger) {
		got := strings.Split(strings.TrimSpace(lines.String()), "\n")
		if len(got) != 10 || !strings.HasPrefix(got[9], "  10s  connected 5  records sent ") {
			t.Errorf("expected a line a second:\n%s", lines.String())
		}
	})
}

// TestProgressWithoutServer expects whoever starts a fleet before its server to be told why nothing happens.
func TestProgressWithoutServer(t *testing.T) {
	var lines strings.Builder
	o := small("", 5, 0)
	o.Rate, o.Duration, o.Progress = 100, 2500*time.Millisecond, &lines
	o.Dial = func(context.Context, int) (net.Conn, error) { return nil, errors.New("nobody listens") }
	inVirtualTime(t, new(server), o, func(t *testing.T, _ Ledger) {
		if n := strings.Count(lines.String(), "  nobody is connected: nobody listens\n"); n < 2 {
			t.Errorf("expected the reason each second:\n%s", lines.String())
		}
	})
}
