package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	for _, c := range []struct {
		inUse, allocated uint64
		want             int
	}{
		{0, 0, 100}, {8 << 20, 0, 100}, {16 << 20, 0, 50}, {64 << 20, 0, 12}, {1 << 40, 0, 12},
		{64 << 20, 16 << 20, 25}, {64 << 20, 1 << 40, 100},
	} {
		if got := garbagePercent(c.inUse, c.allocated); got != c.want {
			t.Errorf("%d bytes in use, %d allocated: %d %%, want %d", c.inUse, c.allocated, got, c.want)
		}
	}
}

// TestGarbageFollowsMemory: a process that has much in use and makes little garbage collects before much has gathered,
// and one that makes much is left alone.
func TestGarbageFollowsMemory(t *testing.T) {
	before := debug.SetGCPercent(mostGarbage)
	defer debug.SetGCPercent(before)
	kept := make([]byte, 200<<20)
	runtime.GC()
	g := garbage{percent: mostGarbage}
	g.weigh() // all that the process has ever allocated
	g.weigh()
	if is := debug.SetGCPercent(g.percent); is != g.percent || is > 2*100/garbageShare {
		t.Errorf("%d %% of garbage are allowed, %d meant", is, g.percent)
	}
	g.allocated -= 1 << 30
	g.weigh()
	if is := debug.SetGCPercent(g.percent); is != mostGarbage {
		t.Errorf("%d %% of garbage are allowed to a busy process", is)
	}
	runtime.KeepAlive(kept)
}
