package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.UnixMilli(1_700_000_000_000)

// small are the options of a fleet that does not wait.
func small(address string, devices int, records int64) Options {
	o := Defaults()
	o.Address, o.Devices, o.Records = address, devices, records
	o.Ramp, o.Retry, o.Start = 0, time.Millisecond, start
	return o
}

func run(t *testing.T, o Options) Ledger {
	t.Helper()
	ledger, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// checkComplete checks that the ledger balances and that exactly so many records have arrived.
func checkComplete(t *testing.T, s *server, l Ledger, records int64) {
	t.Helper()
	if !l.OK() || l.RecordsSent != records || l.RecordsAcknowledged != records || l.FramesSent != l.FramesAcknowledged {
		t.Errorf("ledger does not say that %d records are sent and acknowledged: %+v", records, l)
	}
	ids, arrived := s.ids(), int64(0)
	for _, n := range ids {
		arrived += int64(n)
	}
	if int64(len(ids)) != records || arrived != l.RecordsSent+l.RecordsResent {
		t.Errorf("%d records arrived %d times, the ledger says %d and %d again", len(ids), arrived, l.RecordsSent,
			l.RecordsResent)
	}
	if got := int64(s.frames()); got != l.FramesSent+l.FramesResent {
		t.Errorf("%d frames arrived, the ledger says %d and %d again", got, l.FramesSent, l.FramesResent)
	}
}

func TestRun(t *testing.T) {
	s := &server{tb: t}
	o := small(s.listen(), 60, 20_000)
	o.RecordsPerFrame = Range{Min: 1, Max: 35}
	l := run(t, o)
	s.close()
	checkComplete(t, s, l, 20_000)
	if l.Connections != 60 || l.RecordsResent != 0 || l.ConnectFailures != 0 || l.LoginsRefused != 0 {
		t.Errorf("expected 60 quiet connections: %+v", l)
	}
	if l.Latency.P50 <= 0 || l.Latency.P50 > l.Latency.P99 || l.Latency.P99 > l.Latency.Max || l.RecordsPerSecond() <= 0 {
		t.Errorf("latency or rate is impossible: %+v", l)
	}
	codecs := make(map[teltonika.Codec]int)
	sizes := make(map[int]bool)
	sent := int64(0)
	for i := range 60 {
		imei := fmt.Sprint(o.IMEIBase + uint64(i))
		stamps := make(map[uint64]bool)
		for _, a := range s.arrivals[imei] {
			codecs[a.codec]++
			sizes[len(a.records)] = true
			sent += int64(len(a.frame))
			for _, r := range a.records {
				stamps[r.Timestamp] = true
			}
		}
		if got := len(stamps); got != 20_000/60 && got != 20_000/60+1 {
			t.Errorf("device %s has %d distinct timestamps, expected its share of 20,000 records", imei, got)
		}
	}
	if len(codecs) != 3 || codecs[teltonika.Codec8] < codecs[teltonika.Codec8E] ||
		codecs[teltonika.Codec8E] < codecs[teltonika.Codec16] {
		t.Errorf("codecs %v do not follow the mix %v", codecs, o.Codecs)
	}
	if len(sizes) != 35 {
		t.Errorf("%d frame sizes occurred, expected 1 to 35", len(sizes))
	}
	if l.BytesSent != sent {
		t.Errorf("ledger says %d bytes, %d arrived", l.BytesSent, sent)
	}
}

// TestSeed compares all frames of runs: the same seed gives the same, another one others.
func TestSeed(t *testing.T) {
	frames := func(seed uint64) map[string][]string {
		s := &server{tb: t}
		o := small(s.listen(), 10, 1000)
		o.Seed = seed
		run(t, o)
		s.close()
		frames := make(map[string][]string)
		for imei, arrivals := range s.arrivals {
			for _, a := range arrivals {
				frames[imei] = append(frames[imei], string(a.frame))
			}
		}
		return frames
	}
	first, second, other := frames(7), frames(7), frames(8)
	for imei := range first {
		if !slices.Equal(first[imei], second[imei]) {
			t.Errorf("device %s sent other frames with the same seed", imei)
		}
		for _, frame := range first[imei] {
			if slices.Contains(other[imei], frame) {
				t.Fatalf("device %s sent the same frame with another seed", imei)
			}
		}
	}
}

// TestFaults has the same seed once without faults and once with many: the same records must arrive.
func TestFaults(t *testing.T) {
	quiet, rough := &server{tb: t}, &server{tb: t}
	checkComplete(t, quiet, run(t, small(quiet.listen(), 20, 5000)), 5000)
	o := small(rough.listen(), 20, 5000)
	o.Reconnect, o.LoseACK = 0.1, 0.1
	rough.answer = func(a arrival) answer {
		if a.nth%7 == 3 {
			return answer{close: true}
		}
		return ack(len(a.records))
	}
	l := run(t, o)
	rough.close()
	if !l.OK() || l.RecordsAcknowledged != 5000 || l.FramesResent == 0 || l.Interrupted < l.FramesResent ||
		l.Connections < 21 {
		t.Errorf("ledger of a rough run: %+v", l)
	}
	clean := quiet.ids()
	for id := range rough.ids() {
		if clean[id] == 0 {
			t.Fatalf("record %s is not in the run without faults", id)
		}
	}
	if got := len(rough.ids()); got != 5000 {
		t.Errorf("%d records arrived, expected 5000", got)
	}
}

func TestOrder(t *testing.T) {
	for _, order := range []Order{NewestFirst, OldestFirst} {
		t.Run(string(order), func(t *testing.T) {
			s := &server{tb: t}
			o := small(s.listen(), 3, 6000)
			o.Order, o.Reconnect, o.Burst = order, 0.02, 100
			o.RecordsPerFrame = Range{Min: 10, Max: 10}
			l := run(t, o)
			s.close()
			checkComplete(t, s, l, 6000)
			older := 0
			for _, arrivals := range s.arrivals {
				last := uint64(0)
				for _, a := range arrivals {
					stamps := make([]uint64, len(a.records))
					for i, r := range a.records {
						stamps[i] = r.Timestamp
					}
					if order == NewestFirst {
						slices.Reverse(stamps)
					}
					if !slices.IsSorted(stamps) {
						t.Fatalf("frame is not %s", order)
					}
					if stamps[0] < last {
						older++
					}
					last = stamps[0]
				}
			}
			if order == NewestFirst && older == 0 {
				t.Error("no frame is older than the one before it: no burst was sent newest first")
			}
			if order == OldestFirst && older > 0 {
				t.Errorf("%d frames are older than the one before them", older)
			}
			if l.Connections < 4 || len(s.arrivals) != 3 {
				t.Errorf("%d connections of %d devices, expected 3 devices that reconnect", l.Connections, len(s.arrivals))
			}
		})
	}
}

func TestAcknowledgedList(t *testing.T) {
	s := &server{tb: t}
	var list bytes.Buffer
	o := small(s.listen(), 10, 2000)
	o.LoseACK, o.Acknowledged = 0.1, &list
	run(t, o)
	s.close()
	arrived := s.ids()
	lines := strings.Fields(list.String())
	for _, id := range lines {
		if arrived[id] == 0 {
			t.Errorf("%s is listed and has not arrived", id)
		}
		delete(arrived, id)
	}
	if len(lines) != 2000 || len(arrived) != 0 {
		t.Errorf("%d lines, %d records that arrived are not among them, expected 2000 and 0", len(lines), len(arrived))
	}
}

// fullDisk takes some writes.
type fullDisk struct{ room int }

var errFull = errors.New("disk full")

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.room--; f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAcknowledgedListFails(t *testing.T) {
	s := &server{tb: t}
	o := small(s.listen(), 5, 0)
	o.Acknowledged = &fullDisk{room: 20}
	if _, err := Run(t.Context(), o); !errors.Is(err, errFull) {
		t.Errorf("error is %v, expected %v", err, errFull)
	}
}

// TestInterrupted ends a run without a limit from outside: what is sent is acknowledged all the same.
func TestInterrupted(t *testing.T) {
	s := &server{tb: t}
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(a arrival) answer {
		if a.nth == 100 {
			cancel()
		}
		return ack(len(a.records))
	}
	l, err := Run(ctx, small(s.listen(), 20, 0))
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	checkComplete(t, s, l, l.RecordsSent)
}

func TestWrongAnswers(t *testing.T) {
	long := func(n int) []byte { return append(teltonika.AppendAck(nil, n), 0) }
	for name, c := range map[string]struct {
		answer func(n int) answer
		again  bool // the frame is sent again
	}{
		"one too many":          {func(n int) answer { return ack(n + 1) }, true},
		"zero":                  {func(int) answer { return ack(0) }, true},
		"five bytes":            {func(n int) answer { return answer{bytes: long(n)} }, false},
		"ACK of the last frame": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{tb: t}
			o := small(s.listen(), 1, 50)
			o.RecordsPerFrame = Range{Min: 10, Max: 10}
			o.ResponseTimeout = 2 * time.Second // which bounds how long half an answer is waited for
			s.answer = func(a arrival) answer {
				n := len(a.records)
				switch {
				case c.answer == nil && a.nth == 4:
					return answer{bytes: slices.Concat(teltonika.AppendAck(nil, n), teltonika.AppendAck(nil, n))}
				case c.answer != nil && a.nth == 2:
					return c.answer(n)
				}
				return ack(n)
			}
			l := run(t, o)
			s.close()
			if l.OK() || l.WrongAnswers != 1 {
				t.Errorf("ledger does not say that an answer was wrong: %+v", l)
			}
			if a := s.arrivals["350000000000000"]; c.again && !same(a[2], a[3]) {
				t.Error("the frame did not come again after the wrong answer")
			}
			if l.RecordsAcknowledged != 50 {
				t.Errorf("%d records acknowledged, expected 50", l.RecordsAcknowledged)
			}
		})
	}
}

// TestLateAnswer has a server that goes on answering when all is answered.
func TestLateAnswer(t *testing.T) {
	s := &server{tb: t, late: teltonika.AppendAck(nil, 10)}
	l := run(t, small(s.listen(), 3, 50))
	if l.WrongAnswers != 3 || l.OK() || l.RecordsAcknowledged != 50 {
		t.Errorf("ledger does not say that 3 answers were too many: %+v", l)
	}
}

func TestWrongLoginAnswer(t *testing.T) {
	s := &server{tb: t}
	first := true
	s.login = func(string) []byte {
		if first {
			first = false
			return []byte("1")
		}
		return []byte{teltonika.LoginAccept}
	}
	l := run(t, small(s.listen(), 1, 10))
	if l.WrongAnswers != 1 || l.OK() || l.RecordsAcknowledged != 10 {
		t.Errorf("ledger does not say that the login was answered wrongly: %+v", l)
	}
}

// TestModelFollowsIMEI expects a device to send the same elements in every run, whatever the seed.
func TestModelFollowsIMEI(t *testing.T) {
	sent := func(seed uint64) map[string]map[uint16]int {
		s := &server{tb: t}
		o := small(s.listen(), 20, 4000)
		o.Seed = seed
		run(t, o)
		s.close()
		elements := make(map[string]map[uint16]int)
		for imei, arrivals := range s.arrivals {
			elements[imei] = make(map[uint16]int)
			for _, a := range arrivals {
				for i := range a.records {
					for _, e := range a.records[i].Elements {
						elements[imei][e.ID]++
					}
				}
			}
		}
		return elements
	}
	first, second := sent(7), sent(8)
	for imei, counts := range first {
		for id, n := range counts {
			if n > 100 && second[imei][id] < 100 { // of 200 records, some of which are of another kind
				t.Errorf("device %s sent element %d in %d records, and with another seed in %d", imei, id, n, second[imei][id])
			}
		}
	}
}
