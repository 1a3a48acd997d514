package publish

import (
	"sync/atomic"
	"time"
)

// trouble is what the lanes last heard from the engine, for the log and for readiness.
type trouble struct {
	current atomic.Pointer[failure] // nil while the engine stores
}

type failure struct {
	err         error
	since, last time.Time
}

// report notes the result of a write. It logs when the engine begins to fail and when it stores again, not the
// failures between.
func (p *Publisher) report(err error) {
	was, now := p.trouble.current.Load(), time.Now()
	switch {
	case err == nil && was == nil:
	case err == nil:
		if p.trouble.current.CompareAndSwap(was, nil) {
			p.options.Logger.Info("engine stores again", "after", now.Sub(was.since).Round(time.Millisecond))
		}
	case was == nil:
		if p.trouble.current.CompareAndSwap(nil, &failure{err: err, since: now, last: now}) {
			p.options.Logger.Error("engine does not store, frames are not acknowledged", "error", err)
		}
	default:
		p.trouble.current.CompareAndSwap(was, &failure{err: err, since: was.since, last: now})
	}
}

// troubleWindow is how long a failed write speaks against the engine. Without traffic nothing would take it back.
const troubleWindow = 8 * time.Second

// Err is the engine's last error if it is recent and no write has succeeded since.
func (p *Publisher) Err() error {
	if f := p.trouble.current.Load(); f != nil && time.Since(f.last) < troubleWindow {
		return f.err
	}
	return nil
}
