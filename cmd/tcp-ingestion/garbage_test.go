package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	for bytes, want := range map[uint64]int{0: 100, 16 << 20: 100, 32 << 20: 50, 128 << 20: 12, 1 << 40: 12} {
		if got := garbagePercent(bytes); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", bytes, got, want)
		}
	}
}

// TestGarbageFollowsMemory: a process with much in use collects before much garbage has gathered.
func TestGarbageFollowsMemory(t *testing.T) {
	before := debug.SetGCPercent(mostGarbage)
	defer debug.SetGCPercent(before)
	kept := make([]byte, 200<<20)
	runtime.GC()
	if got := allowGarbage(mostGarbage); got > 100/garbageShare {
		t.Errorf("%d %% of garbage beside %d bytes in use", got, inUse())
	}
	if got := debug.SetGCPercent(mostGarbage); got > 100/garbageShare {
		t.Errorf("%d %% are set", got)
	}
	runtime.KeepAlive(kept)
}
