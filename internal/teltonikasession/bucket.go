package teltonikasession

import (
	"sync/atomic"
	"time"
)

// rate is what a bucket grants: a burst, and then one more every interval.
type rate struct {
	burst    int
	interval time.Duration
}

// bucket is a token bucket without a lock: the time, in ns since 1970, at which it will be full again.
type bucket struct{ full atomic.Int64 }

// take takes n tokens if there are as many.
func (b *bucket) take(n int, now time.Time, r rate) bool {
	latest := now.Add(time.Duration(r.burst) * r.interval).UnixNano()
	for {
		full := b.full.Load()
		since := max(full, now.UnixNano())
		if full > latest { // the clock has gone back
			since = now.UnixNano()
		}
		next := since + int64(n)*int64(r.interval)
		if next > latest {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
