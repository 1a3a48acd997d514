package ops

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// How the growth of the engine's memory is observed: long enough to see through what comes and goes, such as the
// copying of pages while Redis writes a snapshot.
const (
	growthWindow = 5 * time.Minute  // looked back upon
	growthStep   = 10 * time.Second // between two samples
	growthLeast  = 30 * time.Second // observed before there is a forecast
)

// growth forecasts when the engine's memory will be full. The zero value has seen nothing.
type growth struct {
	samples []sample // oldest first, growthStep apart, none before the window
	latest  sample
}

type sample struct {
	at            time.Time
	memory, limit int64 // bytes
	records       int64
	allowed       int64 // records kept when all are read; 0 = any number
}

func (g *growth) add(at time.Time, s engine.Status) {
	if s.Memory < g.latest.memory/2 || s.MemoryLimit != g.latest.limit {
		g.samples = g.samples[:0] // restarted, emptied, or another limit: what was before says nothing
	}
	g.latest = sample{at: at, memory: s.Memory, limit: s.MemoryLimit, records: s.Length, allowed: s.Limit}
	for len(g.samples) > 0 && at.Sub(g.samples[0].at) > growthWindow {
		g.samples = g.samples[1:]
	}
	if n := len(g.samples); n == 0 || at.Sub(g.samples[n-1].at) >= growthStep {
		g.samples = append(g.samples, g.latest)
	}
}

// full is how long it takes until the memory limit is reached at the growth observed, and whether it will be.
// What is at its limit is full now.
func (g *growth) full() (time.Duration, bool) {
	if g.latest.limit == 0 || len(g.samples) == 0 {
		return 0, false
	}
	left := g.latest.limit - g.latest.memory
	if left <= 0 {
		return 0, true
	}
	first := g.samples[0]
	took, more := g.latest.at.Sub(first.at), g.latest.memory-first.memory
	if took < growthLeast || more <= 0 || g.endsByItself(more, g.latest.records-first.records, left) {
		return 0, false
	}
	return time.Duration(float64(took) * float64(left) / float64(more)), true
}

// endsByItself says whether there is room for all records that the stream is trimmed to, after which it grows
// only if they are not read. more is the growth so far in bytes, and records in records.
func (g *growth) endsByItself(more, records, left int64) bool {
	room := g.latest.allowed - g.latest.records
	return room > 0 && records > 0 && float64(room)*float64(more)/float64(records) < float64(left)
}
