package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// Go lets as much garbage gather as there is memory in use. A large fleet is mostly connections that wait, which make
// next to no garbage: their memory would be taken twice, and half of it lie idle.
const (
	// garbageShare is how much garbage may gather, one part of the memory in use in so many.
	garbageShare = 8
	// leastGarbage may gather in any case, in bytes.
	leastGarbage = 8 << 20
	// mostGarbage is Go's own default, in percent.
	mostGarbage = 100
	// weighEvery is how often the memory is looked at. As much garbage as is made in that time may gather too, so that a
	// process with much to do collects no more often than this.
	weighEvery = 5 * time.Second
)

// garbage is how much of it may gather now.
type garbage struct {
	percent   int    // of the memory in use
	allocated uint64 // bytes, until the last look
}

// boundGarbage keeps garbage a share of the memory in use until ctx ends, unless the operator has said how much
// there may be.
func boundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	for g := (garbage{percent: mostGarbage}); backoff.Pause(ctx, weighEvery); {
		g.weigh()
	}
}

// weigh allows as much garbage as is right now.
func (g *garbage) weigh() {
	inUse, allocated := memoryInUse()
	percent := garbagePercent(inUse, allocated-g.allocated)
	g.allocated = allocated
	if percent != g.percent {
		g.percent = percent
		debug.SetGCPercent(percent)
	}
}

// garbagePercent is how much garbage may gather beside so many bytes in use, in percent of them, where so many have
// been allocated lately.
func garbagePercent(inUse, allocated uint64) int {
	may := max(inUse/garbageShare, leastGarbage, allocated)
	return int(min(mostGarbage, may*100/max(1, inUse)))
}

// memoryInUse is how many bytes the last collection found in use, stacks included, and how many have been allocated
// since the process began.
func memoryInUse() (inUse, allocated uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64(), samples[2].Value.Uint64()
}
