package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

const (
	// readTimeout bounds one reading of the source.
	readTimeout = 30 * time.Second
	// firstRetry is the pause after a first failure. It doubles, up to the refresh interval.
	firstRetry = time.Second
	// longestWait is 73 years, which can be varied without overflow.
	longestWait = 1 << 61
)

var (
	// ErrEmpty means that the list is empty while unknown devices are refused: that would refuse the whole fleet.
	ErrEmpty = errors.New("the allow-list is empty")
	// ErrMissing means that there is no such file.
	ErrMissing = errors.New("there is no such file")

	errNotRead = errors.New("not read yet")
)

// Source is where a list is kept: File or Redis.
type Source interface {
	// read returns what the source holds, the same set if it knows that nothing has changed. force means not to
	// trust appearances.
	read(ctx context.Context, force bool) (*set, error)
	// String names the source for people.
	String() string
	// Close gives up what the source holds open.
	Close() error
}

// Options are a list's settings. All are needed, Strict and Refreshed apart.
type Options struct {
	Source  Source
	Strict  bool          // unknown devices are refused, so an empty list is a mistake
	Refresh time.Duration // between two readings, give or take a tenth
	Metrics *Metrics
	Logger  *slog.Logger
	// Refreshed is called after each reading by Run whose result is in use, in Run's goroutine.
	Refreshed func(ctx context.Context)
}

// List is a list of known devices. Known may be called by anybody at any time; Start, then Run, by one goroutine.
type List struct {
	Options
	current atomic.Pointer[set]
	failure atomic.Pointer[error] // of the last reading; points to nil if it was good
	read    atomic.Bool           // there has been a good one
	reload  chan struct{}
}

// NewList returns a list that knows no device until Start.
func NewList(o Options) *List {
	o.Logger = o.Logger.With("source", o.Source.String())
	l := &List{Options: o, reload: make(chan struct{}, 1)}
	l.current.Store((&builder{}).build())
	l.failure.Store(&errNotRead)
	return l
}

// Known reports whether the device is on the list. It takes no lock and allocates nothing.
func (l *List) Known(imei string) bool { return l.current.Load().has(imei) }

// Len is the number of devices on the list.
func (l *List) Len() int { return l.current.Load().size() }

// Ready says why devices cannot be told apart: a strict list has never been read. Afterwards the last good list is
// in use, however old, and Ready returns nil.
func (l *List) Ready() error {
	if !l.Strict || l.read.Load() {
		return nil
	}
	return fmt.Errorf("allow-list: %v: %w", l.Source, *l.failure.Load())
}

// Reload asks Run to read the source now, even if it looks unchanged. It does not wait.
func (l *List) Reload() {
	select {
	case l.reload <- struct{}{}:
	default: // asked already
	}
}

// Start reads the list for the first time. If that fails and the list is not strict, all devices are unknown for now.
// A strict list is tried until it can be read, since without it either nobody or everybody would be let in; only
// ErrEmpty, ErrMissing and the end of ctx end that.
func (l *List) Start(ctx context.Context) error {
	retry := backoff.Backoff{First: firstRetry, Max: max(l.Refresh, firstRetry)}
	for {
		err := l.Check(ctx)
		switch {
		case err == nil:
			return nil
		case !l.Strict:
			return ctx.Err()
		case errors.Is(err, ErrEmpty), errors.Is(err, ErrMissing):
			return err
		}
		if !retry.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// Check reads the list once. Its error names the source.
func (l *List) Check(ctx context.Context) error {
	err := l.refresh(ctx, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrMissing
	}
	if err != nil {
		return fmt.Errorf("%v: %w", l.Source, err)
	}
	return nil
}

// Run reads the list again and again until ctx ends: at the refresh interval, sooner after failures, and when Reload
// asks for it.
func (l *List) Run(ctx context.Context) {
	retry := backoff.Backoff{First: firstRetry, Max: l.Refresh}
	for {
		wait := l.Refresh
		if *l.failure.Load() == nil {
			retry.Reset()
		} else {
			wait = retry.Next()
		}
		timer := time.NewTimer(jitter(wait))
		force := false
		select {
		case <-timer.C:
		case <-l.reload:
			force = true
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		if l.refresh(ctx, force) == nil && l.Refreshed != nil {
			l.Refreshed(ctx)
		}
	}
}

// jitter varies the time by up to a tenth, so that a fleet of processes does not ask at once.
func jitter(d time.Duration) time.Duration {
	d = min(d, longestWait)
	return d - d/10 + rand.N(d/5+1)
}

// refresh reads the source once. On failure the list stays as it is.
func (l *List) refresh(ctx context.Context, force bool) error {
	limited, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	next, err := l.Source.read(limited, force)
	if ctx.Err() != nil {
		return ctx.Err() // stopping, which says nothing about the source
	}
	result := resultOK
	switch {
	case err != nil:
		result = resultFailed
	case next.size() == 0:
		result = resultEmpty
		if l.Strict {
			err = next.emptiness()
		}
	}
	l.Metrics.refreshed(result)
	l.failure.Store(&err)
	if err != nil {
		l.warn(err)
		return err
	}
	l.use(next, force)
	return nil
}

func (l *List) warn(err error) {
	if !l.read.Load() {
		l.Logger.Warn("allow-list cannot be read, no device is known yet", "error", err)
		return
	}
	l.Logger.Warn("allow-list cannot be refreshed, the last good one stays in use", "error", err,
		"devices", l.Len(), "age", time.Duration(l.Metrics.age()*float64(time.Second)).Round(time.Second))
}

// use makes the set the one that logins are checked against.
func (l *List) use(next *set, announce bool) {
	before := l.current.Swap(next)
	first := !l.read.Swap(true)
	l.Metrics.loaded()
	l.Metrics.devices.Set(float64(next.size()))
	changed := first || !next.same(before)
	if !changed && !announce {
		return
	}
	l.Logger.Info("allow-list read", "devices", next.size(), "before", before.size())
	if next.skipped.count > 0 {
		l.Logger.Warn("allow-list entries skipped, they are not identifiers", "count", next.skipped.count, "first", next.skipped.first)
	}
	if next.size() == 0 {
		l.Logger.Warn("allow-list is empty, all devices are unknown")
	}
}
