package source

import (
	"testing"
	"time"
)

// What is taken of a key that never rests: not half of it.
func TestNearly(t *testing.T) {
	for _, c := range []struct {
		found, members int64
		want           bool
	}{
		{0, 0, true}, {0, 1, false}, {5, 5, true}, {99, 100, true}, {98, 100, false}, {500_000, 1_000_000, false},
		{995_000, 1_000_000, true}, {2000, 1000, true},
	} {
		if nearly(c.found, c.members) != c.want {
			t.Errorf("%d of %d: %v", c.found, c.members, !c.want)
		}
	}
}

func TestJitter(t *testing.T) {
	for _, d := range []time.Duration{1, 100 * time.Millisecond, 30 * time.Second, 1<<63 - 1} {
		for range 100 {
			if j, most := jitter(d), min(d, longestWait); j < most-most/10 || j > most+most/10+1 {
				t.Fatalf("jitter(%v) is %v", d, j)
			}
		}
	}
}
