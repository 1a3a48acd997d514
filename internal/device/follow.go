package device

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// How often. A file that looks unchanged costs a look; a Redis hash is read whole.
const (
	fileRefresh  = 2 * time.Second
	redisRefresh = 30 * time.Second
)

// NewOverrides returns the embedded dictionary with the overrides in a file over it; see meaning.Dictionary.Override.
// An error of Read has a *meaning.OverrideError in its chain, unless the file cannot be read.
func NewOverrides(path string) *source.File[*meaning.Dictionary] {
	return source.NewFile(path, func(_ context.Context, r io.Reader) (*meaning.Dictionary, error) {
		text, err := io.ReadAll(io.LimitReader(r, meaning.MaxOverrideBytes+1)) // of which Override says that it is too long
		if err != nil {
			return nil, err
		}
		return meaning.Embedded().Override(string(text))
	})
}

// Follower keeps what a source holds in force. Its methods may be called by many goroutines.
type Follower interface {
	// Start reads the source for the first time. What is wrong with it is the caller's to say.
	Start(ctx context.Context) error
	// Read reads the source now, even if it looks unchanged. After an error the last good one stays in use.
	Read(ctx context.Context) error
	// Run reads the source again and again until ctx ends.
	Run(ctx context.Context)
	// Close gives up what the source holds open, after Run.
	Close() error
}

// FollowOverrides has the memory use the dictionary of a file.
func (m *Memory) FollowOverrides(path string) Follower {
	f := &follower[*meaning.Dictionary]{memory: m, what: readOverrides, use: m.useOverrides}
	f.warn = func(err error) {
		m.Logger.Error("dictionary overrides cannot be used, the last good ones stay", "path", path, "error", err)
	}
	return f.follow(NewOverrides(path), fileRefresh)
}

func (m *Memory) useOverrides(next *meaning.Dictionary, announce bool) {
	before := m.Dictionary()
	if before != next { // two versions may be called the same
		m.SetDictionary(next)
	}
	rows := overridesOf(next)
	m.Metrics.inUse(readOverrides, rows)
	if announce || before != next {
		m.Logger.Info("dictionary overrides read", "count", rows, "version", next.Version(), "before", before.Version())
	}
}

func overridesOf(d *meaning.Dictionary) (n int) {
	for range d.Overrides() {
		n++
	}
	return n
}

// FollowModels has the memory use the map of models of a source: a file's, or a Redis hash's.
func (m *Memory) FollowModels(from ModelsSource) Follower {
	f := &follower[*Models]{memory: m, what: readModels, use: m.useModels}
	f.warn = func(err error) {
		m.Logger.Error("device models cannot be used, the last good ones stay", "source", from.String(), "error", err)
	}
	if _, isFile := from.(*source.File[*Models]); isFile {
		return f.follow(from, fileRefresh)
	}
	return f.follow(from, redisRefresh)
}

func (m *Memory) useModels(next *Models, announce bool) {
	before := m.models.Load()
	changed := before != next && !before.same(next)
	if changed {
		m.SetModels(next)
	}
	m.Metrics.inUse(readModels, next.Len())
	if !announce && !changed {
		return
	}
	m.Logger.Info("device models read", "count", next.Len(), "before", before.Len())
	if next.skipped.count > 0 {
		m.Logger.Warn("device models skipped, they are no entries", "count", next.skipped.count,
			"first", next.skipped.first)
	}
}

// follower is a Follower.
type follower[T any] struct {
	memory  *Memory
	what    string
	use     func(next T, announce bool)
	warn    func(error)
	watcher *source.Watcher[T]
	quiet   atomic.Bool // the next failure is not to be told
	loud    atomic.Bool // the next one is told even if it has been
	failing string      // under the watcher's lock: why the last reading failed
}

func (f *follower[T]) follow(from source.Source[T], refresh time.Duration) *follower[T] {
	f.watcher = source.NewWatcher(source.Options[T]{Source: from, Refresh: refresh, Use: f.used, Failed: f.failed})
	return f
}

// used takes a good reading. It is announced after failures.
func (f *follower[T]) used(next T, force bool) error {
	f.memory.Metrics.read(f.what, nil)
	f.use(next, force || f.failing != "")
	f.failing = ""
	return nil
}

// failed says once what is wrong.
func (f *follower[T]) failed(err error) {
	f.memory.Metrics.read(f.what, err)
	again := err.Error() == f.failing
	f.failing = err.Error()
	if loud := f.loud.Swap(false); !f.quiet.Load() && (loud || !again) {
		f.warn(err)
	}
}

// Start implements Follower.
func (f *follower[T]) Start(ctx context.Context) error {
	f.quiet.Store(true)
	defer f.quiet.Store(false)
	return f.watcher.Read(ctx, false)
}

// Read implements Follower.
func (f *follower[T]) Read(ctx context.Context) error {
	f.loud.Store(true)
	defer f.loud.Store(false)
	return f.watcher.Read(ctx, true)
}

// Run implements Follower.
func (f *follower[T]) Run(ctx context.Context) { f.watcher.Run(ctx) }

// Close implements Follower.
func (f *follower[T]) Close() error { return f.watcher.Source.Close() }
