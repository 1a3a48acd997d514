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
	err   error
	since time.Time
}

// report notes the result of a write. It logs when the engine begins to fail and when it stores again, not the
// failures between.
func (p *Publisher) report(err error) {
	was := p.trouble.current.Load()
	switch {
	case err == nil && was == nil:
	case err == nil:
		if p.trouble.current.CompareAndSwap(was, nil) {
			p.options.Logger.Info("engine stores again", "after", time.Since(was.since).Round(time.Millisecond))
		}
	case was == nil:
		if p.trouble.current.CompareAndSwap(nil, &failure{err: err, since: time.Now()}) {
			p.options.Logger.Error("engine does not store, frames are not acknowledged", "error", err)
		}
	default:
		p.trouble.current.CompareAndSwap(was, &failure{err: err, since: was.since})
	}
}

// Err is the engine's last error if no write has succeeded since.
func (p *Publisher) Err() error {
	if f := p.trouble.current.Load(); f != nil {
		return f.err
	}
	return nil
}
