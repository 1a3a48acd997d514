package publish

import (
	"fmt"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// health is what the lanes last heard from the engine, for the log and for readiness.
type health struct {
	current atomic.Pointer[failure] // nil while the engine stores
}

type failure struct {
	err         error
	since, last time.Time
}

// report notes the result of a write. It logs when the engine begins to fail and when it stores again, not the
// failures between.
func (p *Publisher) report(err error) {
	was, now := p.health.current.Load(), time.Now()
	switch {
	case err == nil && was == nil:
	case err == nil:
		if p.health.current.CompareAndSwap(was, nil) {
			p.options.Logger.Info("engine stores again", "after", now.Sub(was.since).Round(time.Millisecond))
		}
	case was == nil:
		if p.health.current.CompareAndSwap(nil, &failure{err: err, since: now, last: now}) {
			p.options.Logger.Error("engine does not store, frames are not acknowledged", "error", err)
		}
	default:
		p.health.current.CompareAndSwap(was, &failure{err: err, since: was.since, last: now})
	}
}

var kindNames = [engine.Kinds]string{"record", "dead_letter", "message"}

// noteLost says that the engine no longer has all that it had confirmed to one of the lanes. Dead letters are meant to be removed.
func (p *Publisher) noteLost(k engine.Kind) {
	p.options.Metrics.lost.WithLabelValues(kindNames[k]).Inc()
	if k != engine.KindDeadLetter {
		p.options.Logger.Warn("stored items are gone from the engine, those that devices send again are stored again", "kind", kindNames[k])
	}
}

// healthWindow is how long a failed write speaks against the engine. Without traffic nothing would take it back.
const healthWindow = 8 * time.Second

// Err is the engine's last error if it is recent and no write has succeeded since, or says which lane hangs.
func (p *Publisher) Err() error {
	if f := p.health.current.Load(); f != nil && time.Since(f.last) < healthWindow {
		return f.err
	}
	for _, l := range p.lanes {
		if busy := l.work.lasts(); busy > workPatience {
			return fmt.Errorf("lane %d has been busy with its own work for %v, its devices are not answered", l.index, busy.Round(time.Second))
		}
	}
	return nil
}

// workPatience is far more than a lane ever needs between two waits for the engine.
const workPatience = 5 * time.Second

// work says since when a lane has been at its own work. While it waits, for frames or for the engine, it is not.
type work struct {
	epoch time.Time
	since atomic.Int64 // ns after epoch; 0 = not at work
}

func (w *work) begin() { w.since.Store(max(1, int64(time.Since(w.epoch)))) }
func (w *work) end()   { w.since.Store(0) }

// lasts is for how long the work has been going on.
func (w *work) lasts() time.Duration {
	if since := w.since.Load(); since != 0 {
		return time.Since(w.epoch) - time.Duration(since)
	}
	return 0
}
