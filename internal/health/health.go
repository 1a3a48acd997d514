// Package health tells when something begins to fail and when it works again, so that its owner logs those two and not
// every failure between them.
package health

import (
	"sync/atomic"
	"time"
)

// Health is what was last heard of something that may fail. Its zero value is well. Many goroutines may use it.
type Health struct {
	Every   time.Duration // how often a failure that goes on is due for the log again; 0: never
	current atomic.Pointer[Failure]
}

// Failure is a time without a success. It never changes.
type Failure struct {
	Err   error     // the last one
	Since time.Time // of the first one
	Last  time.Time // of the last one
	Count int       // of failures

	logged time.Time
}

// Lasted is how long it lasted, or lasts by now.
func (f *Failure) Lasted() time.Duration { return time.Since(f.Since).Round(time.Millisecond) }

// Failed notes a failure. due says that it is the first one, or that Every has passed since one was due.
func (h *Health) Failed(err error) (f *Failure, due bool) {
	for {
		was, now := h.current.Load(), time.Now()
		f = &Failure{Err: err, Since: now, Last: now, Count: 1, logged: now}
		due = was == nil
		if was != nil {
			f.Since, f.Count, f.logged = was.Since, was.Count+1, was.logged
			if due = h.Every > 0 && now.Sub(was.logged) >= h.Every; due {
				f.logged = now
			}
		}
		if h.current.CompareAndSwap(was, f) {
			return f, due
		}
	}
}

// Worked notes a success. It returns the failure that ends with it, or nil.
func (h *Health) Worked() (ended *Failure) {
	if h.current.Load() == nil {
		return nil
	}
	return h.current.Swap(nil)
}

// Failure is the one that goes on, or nil.
func (h *Health) Failure() *Failure { return h.current.Load() }
