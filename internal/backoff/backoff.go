// Package backoff is the pause between attempts of what fails.
package backoff

import (
	"context"
	"time"
)

// Backoff is First after the first failure and twice as long after each further one, up to Max. One goroutine uses it.
type Backoff struct {
	First, Max time.Duration
	next       time.Duration
}

// Next returns the pause after one more failure.
func (b *Backoff) Next() time.Duration {
	pause := min(max(b.next, b.First), b.Max)
	b.next = 2 * pause
	return pause
}

// Reset notes a success: the next pause is First again.
func (b *Backoff) Reset() { b.next = 0 }

// Wait waits for Next, and reports false if ctx ended meanwhile.
func (b *Backoff) Wait(ctx context.Context) bool { return Pause(ctx, b.Next()) }

// Pause waits for d, and reports false if ctx ended meanwhile.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
