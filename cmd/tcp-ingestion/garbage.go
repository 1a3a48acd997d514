package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// Go lets as much garbage gather as there is memory in use. A large fleet is mostly connections that
// wait, which make next to no garbage: their memory would be taken twice, and half of it lie idle.
const (
	// garbageShare is how much garbage may gather, one part of the memory in use in so many.
	garbageShare = 8
	// leastGarbage may gather in any case, in bytes, so that a small process does not collect all the time.
	leastGarbage = 16 << 20
	// mostGarbage is Go's own default, in percent.
	mostGarbage = 100
	// weighEvery is how often the memory in use is looked at.
	weighEvery = 5 * time.Second
)

// boundGarbage keeps garbage a share of the memory in use until ctx ends, unless the operator has said how much
// there may be.
func boundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	for percent := mostGarbage; backoff.Pause(ctx, weighEvery); {
		percent = allowGarbage(percent)
	}
}

// allowGarbage allows as much garbage as is right for the memory in use now, in percent of that, and returns it.
func allowGarbage(percent int) int {
	now := garbagePercent(inUse())
	if now != percent {
		debug.SetGCPercent(now)
	}
	return now
}

// garbagePercent is how much garbage may gather beside so many bytes in use, in percent of them.
func garbagePercent(bytes uint64) int {
	return int(min(mostGarbage, max(100/garbageShare, leastGarbage*100/max(1, bytes))))
}

// inUse is how many bytes the last collection found in use, stacks included.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}
