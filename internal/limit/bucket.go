// Package limit bounds how often something may happen, and for whom: a bucket of eight bytes, and a table of them whose
// memory is the same for any number of devices and addresses.
package limit

import (
	"sync/atomic"
	"time"
)

// Rate is what a bucket grants: Burst at once, and then one more every Interval, which is at least a nanosecond. With a
// Debt whoever finds one takes as many as he needs, up to Debt, and all wait until that is made up for. So those who
// need many are not starved by those who need few.
type Rate struct {
	Burst    int
	Interval time.Duration
	Debt     int
}

// PerSecond is the rate of n a second, with so many at once. n is at most a thousand million.
func PerSecond(n, burst int) Rate {
	return Rate{Burst: burst, Interval: time.Second / time.Duration(n)}
}

// Bucket is a token bucket without a lock (GCRA): the time, in ns since 1970, at which it will be full again. Its zero
// value is full. It is always used with the same rate.
type Bucket struct{ full atomic.Int64 }

// Take takes n if there are as many. From then on nothing is taken by those who come too late.
func (b *Bucket) Take(n int, now time.Time, r Rate) bool {
	for {
		full := b.full.Load()
		next, ok := after(full, n, now, r)
		if !ok {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// Has reports whether Take would take n.
func (b *Bucket) Has(n int, now time.Time, r Rate) bool {
	_, ok := after(b.full.Load(), n, now, r)
	return ok
}

// Wait is how long it takes until Take would take n, which is at most the burst or the debt.
func (b *Bucket) Wait(n int, now time.Time, r Rate) time.Duration {
	if r.Debt > 0 {
		n = min(n, 1)
	}
	next, _ := after(b.full.Load(), n, now, r)
	return max(0, time.Duration(next-now.UnixNano())-time.Duration(r.Burst)*r.Interval)
}

// Give puts n back, of those that were taken.
func (b *Bucket) Give(n int, r Rate) { b.full.Add(-int64(n) * int64(r.Interval)) }

// after is when the bucket is full again once n are taken; ok is false if there are fewer.
func after(full int64, n int, now time.Time, r Rate) (next int64, ok bool) {
	at, interval := now.UnixNano(), int64(r.Interval)
	latest := at + int64(r.Burst)*interval
	since := max(full, at)
	if full > latest+int64(r.Debt)*interval { // the clock has gone back
		since = at
	}
	next = since + int64(n)*interval
	return next, next <= latest || n <= r.Debt && since+interval <= latest
}
