package simulate

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets that grow with them: 32 to a power of two, so that a quantile is
// at most 1/32 too high. It holds 1 µs to 78 hours in 9 KB; what is out of range counts as the nearest.
type histogram struct {
	buckets [buckets]atomic.Uint64
	max     atomic.Int64 // ns, exact
}

const (
	subBits   = 5 // 2^subBits buckets to a power of two
	unitBits  = 10
	powers    = 38
	buckets   = (powers - subBits + 1) << subBits
	subMask   = 1<<subBits - 1
	firstFull = 1 << subBits
)

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	for {
		old := h.max.Load()
		if int64(d) <= old || h.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func bucketOf(d time.Duration) int {
	u := uint64(max(0, d)) >> unitBits
	if u < firstFull {
		return int(u)
	}
	shift := bits.Len64(u) - 1 - subBits
	return min(buckets-1, (shift+1)<<subBits|int(u>>shift)&subMask)
}

// bucketEnd is the duration just above bucket i.
func bucketEnd(i int) time.Duration {
	if i < firstFull {
		return time.Duration(i+1) << unitBits
	}
	shift := i>>subBits - 1
	return time.Duration(i&subMask|firstFull+1) << (shift + unitBits)
}

// counts are the merged buckets of several histograms.
type counts struct {
	buckets [buckets]uint64
	total   uint64
	max     time.Duration
}

func (c *counts) merge(h *histogram) {
	for i := range h.buckets {
		n := h.buckets[i].Load()
		c.buckets[i] += n
		c.total += n
	}
	c.max = max(c.max, time.Duration(h.max.Load()))
}

// quantile returns the duration that the fraction q of all counted ones does not exceed, 0 without any.
func (c *counts) quantile(q float64) time.Duration {
	rank := uint64(q * float64(c.total))
	seen := uint64(0)
	for i, n := range c.buckets {
		seen += n
		if n > 0 && seen > rank {
			return min(bucketEnd(i), c.max)
		}
	}
	return c.max
}
