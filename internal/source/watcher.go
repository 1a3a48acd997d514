package source

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

const (
	// readTimeout bounds one reading of the source.
	readTimeout = 30 * time.Second
	// FirstRetry is the pause after a first failure. It doubles, up to the refresh interval.
	FirstRetry = time.Second
	// longestWait is 73 years, which can be varied without overflow.
	longestWait = 1 << 61
)

var errNotRead = errors.New("not read yet")

// Options are a watcher's settings. All are needed, Used apart.
type Options[T any] struct {
	Source  Source[T]
	Refresh time.Duration // between two readings, give or take a tenth
	// Use takes what was read into use. Its error makes the reading a failed one. force is Read's.
	Use func(value T, force bool) error
	// Failed is told of each failed reading; what was read before stays in use.
	Failed func(error)
	// Used is called after each reading by Run whose result is in use, in Run's goroutine.
	Used func(ctx context.Context)
}

// Watcher takes what a source holds into use, and what it holds later, too.
type Watcher[T any] struct {
	Options[T]
	reading sync.Mutex
	failure atomic.Pointer[error] // of the last reading; points to nil if it was good
	reload  chan struct{}
}

// NewWatcher returns a watcher that has read nothing.
func NewWatcher[T any](o Options[T]) *Watcher[T] {
	w := &Watcher[T]{Options: o, reload: make(chan struct{}, 1)}
	w.failure.Store(&errNotRead)
	return w
}

// Err is why the last reading failed, or nil.
func (w *Watcher[T]) Err() error { return *w.failure.Load() }

// Reload asks Run to read the source now, even if it looks unchanged. It does not wait.
func (w *Watcher[T]) Reload() {
	select {
	case w.reload <- struct{}{}:
	default: // asked already
	}
}

// Read reads the source once. If it fails what is in use stays.
func (w *Watcher[T]) Read(ctx context.Context, force bool) error {
	w.reading.Lock()
	defer w.reading.Unlock()
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	next, err := w.Source.Read(limited, force)
	if ctx.Err() != nil {
		return ctx.Err() // stopping, which says nothing about the source
	}
	if err == nil {
		err = w.Use(next, force)
	}
	w.failure.Store(&err)
	if err != nil {
		w.Failed(err)
	}
	return err
}

// Run reads the source again and again until ctx ends: at the refresh interval, sooner after failures, and when Reload
// asks for it.
func (w *Watcher[T]) Run(ctx context.Context) {
	retry := backoff.Backoff{First: FirstRetry, Max: w.Refresh}
	for {
		wait := w.Refresh
		if w.Err() == nil {
			retry.Reset()
		} else {
			wait = retry.Next()
		}
		timer := time.NewTimer(jitter(wait))
		force := false
		select {
		case <-timer.C:
		case <-w.reload:
			force = true
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		if w.Read(ctx, force) == nil && w.Used != nil {
			w.Used(ctx)
		}
	}
}

// jitter varies the time by up to a tenth, so that a fleet of processes does not ask at once.
func jitter(d time.Duration) time.Duration {
	d = min(d, longestWait)
	return d - d/10 + rand.N(d/5+1)
}
