package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
)

var (
	// ErrEmpty means that the list is empty while unknown devices are refused: that would refuse the whole fleet.
	ErrEmpty = errors.New("the allow-list is empty")
	// ErrMissing means that there is no such file.
	ErrMissing = errors.New("there is no such file")
)

// Source is where a list is kept: a file or Redis.
type Source = source.Source[*set]

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
	read    atomic.Bool // there has been a good one
	watcher *source.Watcher[*set]
}

// NewList returns a list that knows no device until Start.
func NewList(o Options) *List {
	o.Logger = o.Logger.With("source", o.Source.String())
	l := &List{Options: o}
	l.current.Store((&builder{}).build())
	l.watcher = source.NewWatcher(source.Options[*set]{
		Source: o.Source, Refresh: o.Refresh, Use: l.use, Failed: l.warn,
		Used: func(ctx context.Context) {
			if l.Refreshed != nil {
				l.Refreshed(ctx)
			}
		}})
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
	return fmt.Errorf("allow-list: %v: %w", l.Source, l.watcher.Err())
}

// Reload asks Run to read the source now, even if it looks unchanged. It does not wait.
func (l *List) Reload() { l.watcher.Reload() }

// Start reads the list for the first time. If that fails and the list is not strict, all devices are unknown for now.
// A strict list is tried until it can be read, since without it either nobody or everybody would be let in; only
// ErrEmpty, ErrMissing and the end of ctx end that.
func (l *List) Start(ctx context.Context) error {
	retry := backoff.Backoff{First: source.FirstRetry, Max: max(l.Refresh, source.FirstRetry)}
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
	err := l.watcher.Read(ctx, false)
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
func (l *List) Run(ctx context.Context) { l.watcher.Run(ctx) }

// use makes the set the one that logins are checked against. announce has that logged even if nothing has changed.
func (l *List) use(next *set, announce bool) error {
	result := resultOK
	if next.size() == 0 {
		result = resultEmpty
	}
	l.Metrics.refreshed(result)
	if next.size() == 0 && l.Strict {
		return next.emptiness()
	}
	before := l.current.Swap(next)
	first := !l.read.Swap(true)
	l.Metrics.loaded()
	l.Metrics.devices.Set(float64(next.size()))
	if first || announce || !next.same(before) {
		l.announce(next, before)
	}
	return nil
}

func (l *List) announce(next, before *set) {
	l.Logger.Info("allow-list read", "devices", next.size(), "before", before.size())
	if next.skipped.count > 0 {
		l.Logger.Warn("allow-list entries skipped, they are not identifiers", "count", next.skipped.count,
			"first", next.skipped.first)
	}
	if next.size() == 0 {
		l.Logger.Warn("allow-list is empty, all devices are unknown")
	}
}

// warn counts a failed reading and says so.
func (l *List) warn(err error) {
	if !errors.Is(err, ErrEmpty) { // which use has counted
		l.Metrics.refreshed(resultFailed)
	}
	if !l.read.Load() {
		l.Logger.Warn("allow-list cannot be read, no device is known yet", "error", err)
		return
	}
	l.Logger.Warn("allow-list cannot be refreshed, the last good one stays in use", "error", err,
		"devices", l.Len(), "age", time.Duration(l.Metrics.age()*float64(time.Second)).Round(time.Second))
}
