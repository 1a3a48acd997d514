package shed

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func newShedder(t *testing.T, f *fleet, above int) (*Shedder, *testkit.Log) {
	log := testkit.NewLog(t)
	return New(Options{Devices: f, Above: above, Metrics: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(log, nil))}), log
}

func (s *Shedder) counted(cause Cause) int {
	return int(testutil.ToFloat64(s.shed.WithLabelValues(string(cause))))
}

func TestPartOfTheDevices(t *testing.T) {
	for _, c := range []struct {
		part            Part
		connected, want int
	}{
		{Part{Percent: 20}, 1000, 200}, {Part{Percent: 20}, 1, 1}, {Part{Percent: 1}, 150, 2}, {Part{Percent: 100}, 7, 7},
		{Part{Percent: 20}, 0, 0}, {Part{Connections: 5}, 3, 3}, {Part{Connections: 5}, 30, 5},
	} {
		if got := c.part.of(c.connected); got != c.want {
			t.Errorf("%+v of %d is %d, want %d", c.part, c.connected, got, c.want)
		}
	}
}

func TestShedsAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(100, time.Hour)
		f.connect(100, Stay/2) // which have come just now
		s, log := newShedder(t, f, 0)
		began := time.Now()
		status, err := s.Begin(Part{Percent: 20}, ByRequest, "somebody")
		if err != nil || !status.Running || status.Closing != 40 || status.Connections != 200 {
			t.Fatalf("%+v, %v", status, err)
		}
		if _, err := s.Begin(Part{Percent: 20}, ByRequest, "somebody else"); err != ErrBusy {
			t.Errorf("a second one at once: %v", err)
		}
		s.running.Wait()
		if took := time.Since(began); took < Over*9/10 || took > Over {
			t.Errorf("took %v", took)
		}
		if got := s.Status(); got.Running || got.Asked != 40 || got.Connections != 160 || s.counted(ByRequest) != 40 {
			t.Errorf("%+v, %d counted", got, s.counted(ByRequest))
		}
		left := slices.Collect(f.Connections())
		young := 0
		for _, c := range left {
			if time.Since(c.Since) < Stay {
				young++
			}
		}
		if young != 100 {
			t.Errorf("%d of 100 that had just come are left", young)
		}
		if !log.Has("shedding connections", "by=somebody") || !log.Has("connections shed") {
			t.Errorf("logged: %s", log)
		}
	})
}

// A device with a command in hand stays, and another one goes for it.
func TestShedTakesAnotherOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(10, time.Hour)
		for _, imei := range []string{"1", "2", "3"} {
			f.busy[imei] = true
		}
		s, _ := newShedder(t, f, 0)
		if _, err := s.Begin(Part{Connections: 7}, ByRequest, ""); err != nil {
			t.Fatal(err)
		}
		s.running.Wait()
		if len(f.gone) != 7 || len(f.connected) != 3 {
			t.Errorf("%d have gone, %d are left", len(f.gone), len(f.connected))
		}
	})
}

func TestCloseEndsShedding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(100, time.Hour)
		s, _ := newShedder(t, f, 0)
		if _, err := s.Begin(Part{Percent: 100}, ByRequest, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(Over / 2)
		s.Close()
		if n := len(f.gone); n < 40 || n > 60 {
			t.Errorf("%d of 100 have gone in half of the time", n)
		}
		if _, err := s.Begin(Part{Percent: 1}, ByRequest, ""); err != ErrStopped {
			t.Errorf("after the end: %v", err)
		}
	})
}

// watched has Watch run beside a test with so many devices.
func watched(t *testing.T, n, above int, test func(*fleet, *Shedder, *testkit.Log)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(n, time.Hour)
		s, log := newShedder(t, f, above)
		ended := make(chan struct{})
		go func() { s.Watch(t.Context()); close(ended) }()
		t.Cleanup(func() { <-ended; s.Close() })
		test(f, s, log)
	})
}

// One percent a second goes at most, until the threshold is met.
func TestWatchShedsWhatIsAbove(t *testing.T) {
	watched(t, 200, 100, func(_ *fleet, s *Shedder, _ *testkit.Log) {
		for last, turns := 200, 0; turns < 1000; turns++ {
			time.Sleep(every)
			now := s.connected()
			if last-now > last*mostPercent/100+2 {
				t.Fatalf("from %d to %d in %v", last, now, every)
			}
			if last = now; now <= 105 {
				break
			}
		}
		time.Sleep(time.Hour)
		if n := s.connected(); n < 100 {
			t.Errorf("%d are left, want 100 and some", n)
		}
		if n := s.counted(ByThreshold); n != 200-s.connected() {
			t.Errorf("%d counted", n)
		}
	})
}

// Where all instances are above it, as many devices come as go.
func TestWatchStopsWhenItDoesNotHelp(t *testing.T) {
	watched(t, 200, 100, func(f *fleet, s *Shedder, log *testkit.Log) {
		for range 24 * 360 {
			time.Sleep(10 * time.Second)
			f.connect(200-s.connected(), 0)
			f.age()
		}
		if n := s.counted(ByThreshold); n == 0 || n > 20*25 {
			t.Errorf("%d shed in a day in vain", n)
		}
		if !log.Has("shedding does not help") {
			t.Errorf("logged: %s", log)
		}
	})
}

func TestWatchLeavesALittleMoreAlone(t *testing.T) {
	watched(t, 104, 100, func(_ *fleet, s *Shedder, _ *testkit.Log) {
		time.Sleep(time.Hour)
		if n := s.counted(ByThreshold); n > 0 {
			t.Errorf("%d shed", n)
		}
	})
}
