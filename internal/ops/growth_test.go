package ops

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// TestGrowth lets minutes pass, with a probe every other second.
func TestGrowth(t *testing.T) {
	const mb = 1 << 20
	steady := func(each int64) func(int64) engine.Status {
		return func(second int64) engine.Status {
			return engine.Status{Memory: 100*mb + second*each, MemoryLimit: 1000 * mb, Length: 1000 * second, Limit: 1000}
		}
	}
	with := func(from func(int64) engine.Status, change func(second int64, s *engine.Status)) func(int64) engine.Status {
		return func(second int64) engine.Status {
			s := from(second)
			change(second, &s)
			return s
		}
	}
	cases := []struct {
		name   string
		after  int64 // seconds
		status func(second int64) engine.Status
		full   time.Duration // -1: it will not be
	}{
		{"too early to say", 28, steady(mb), -1},
		{"1 MiB a second", 120, steady(mb), 780 * time.Second},
		{"long past the window", 600, steady(mb), 300 * time.Second},
		{"not growing", 600, steady(0), -1},
		{"shrinking", 60, steady(-mb), -1},
		{"without a limit", 120, with(steady(mb), func(_ int64, s *engine.Status) { s.MemoryLimit = 0 }), -1},
		{"full", 0, with(steady(0), func(_ int64, s *engine.Status) { s.Memory = s.MemoryLimit + 5 }), 0},
		{
			"room for all that is allowed",
			120,
			with(steady(mb/2), func(_ int64, s *engine.Status) { s.Limit = 1_000_000 }),
			-1,
		},
		{
			"no room for all that is allowed",
			120,
			with(steady(mb), func(_ int64, s *engine.Status) { s.Limit = 10_000_000 }),
			780 * time.Second,
		},
		{
			"no longer growing",
			900,
			with(steady(mb), func(second int64, s *engine.Status) { s.Memory = 100*mb + min(second, 300)*mb }),
			-1,
		},
		{"restarted", 120, with(steady(mb), func(second int64, s *engine.Status) {
			if second > 100 {
				s.Memory = 10*mb + (second-100)*mb
			}
		}), -1},
		{"another limit", 120, with(steady(mb), func(second int64, s *engine.Status) {
			if second > 60 {
				s.MemoryLimit = 2000 * mb
			}
		}), 1780 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var g growth
			start := time.Now()
			for second := int64(0); second <= c.after; second += 2 {
				g.add(start.Add(time.Duration(second)*time.Second), c.status(second))
			}
			full, fills := g.full()
			if !fills {
				full = -1
			}
			if (full - c.full).Abs() > time.Millisecond {
				t.Errorf("full in %v, want %v (-1: never)", full, c.full)
			}
			if most := int(growthWindow/growthStep) + 2; len(g.samples) > most {
				t.Errorf("%d samples are kept, want %d at most", len(g.samples), most)
			}
		})
	}
}
