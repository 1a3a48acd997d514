package publish

import (
	"fmt"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// report notes the result of a lane's write. The log says when the first lane begins to fail, and when no lane fails
// any more, not what happens between.
func (l *lane) report(err error) {
	p := l.p
	if err != nil {
		l.health.Failed(err)
		if _, due := p.health.Failed(err); due {
			p.options.Logger.Error("engine does not store, frames are not acknowledged", "error", err)
		}
		return
	}
	l.unstored.end()
	if p.health.Failure() == nil {
		return
	}
	l.health.Worked()
	l.worked.Store(time.Now().UnixNano())
	if failing, _ := p.failing(); failing == nil {
		if ended := p.health.Worked(); ended != nil {
			p.options.Logger.Info("engine stores again", "after", ended.Lasted())
		}
	}
}

var kindNames = [engine.Kinds]string{"record", "dead_letter", "message"}

// noteLost says that the engine no longer has all that it had confirmed to one of the lanes. Dead letters are meant to
// be removed.
func (p *Publisher) noteLost(k engine.Kind) {
	p.options.Metrics.lost.WithLabelValues(kindNames[k]).Inc()
	if k != engine.KindDeadLetter {
		p.options.Logger.Warn("stored items are gone from the engine, those that devices send again are stored again",
			"kind", kindNames[k])
	}
}

// healthWindow is how long a failed write speaks against the engine. Without traffic nothing would take it back.
const healthWindow = 8 * time.Second

// failing is the latest recent failure of a lane that has not worked since, and whether another lane has worked
// meanwhile. Of shards, one that has nothing to write counts as working.
func (p *Publisher) failing() (failed error, works bool) {
	var last time.Time
	for _, l := range p.lanes {
		if f := l.health.Failure(); f != nil && time.Since(f.Last) < healthWindow {
			if f.Last.After(last) {
				failed, last = f.Err, f.Last
			}
		} else if p.options.Shards || time.Since(time.Unix(0, l.worked.Load())) < healthWindow {
			works = true
		}
	}
	return failed, works
}

// Err is the engine's last error if it is recent and no lane works meanwhile, or says which lane hangs.
func (p *Publisher) Err() error {
	if failed, works := p.failing(); failed != nil && !works {
		return failed
	}
	for _, l := range p.lanes {
		if busy := l.work.lasts(); busy > workTimeout {
			return fmt.Errorf("lane %d has been busy with its own work for %v, its devices are not answered",
				l.index, busy.Round(time.Second))
		}
	}
	return nil
}

// workTimeout is far more than a lane ever needs between two waits for the engine.
const workTimeout = 5 * time.Second

// stallTime is how long a lane may have stored nothing that it has before its quota bounds it: longer than a write
// takes that many frames have gathered for.
const stallTime = 250 * time.Millisecond

// take notes n items of the lane, which its quota gives back, and reports whether there was room: a lane that does not
// store leaves the rest of the queue to the others.
func (l *lane) take(n int) bool { return l.quota.take(n) || l.unstored.lasts() < stallTime }

// takeBytes is take for the memory of a frame.
func (l *lane) takeBytes(n int64) bool { return l.quota.takeBytes(n) || l.unstored.lasts() < stallTime }

// stopwatch says for how long something has been going on.
type stopwatch struct {
	epoch time.Time
	since atomic.Int64 // ns after epoch; 0 = it is not
}

func (s *stopwatch) begin()   { s.since.Store(max(1, int64(time.Since(s.epoch)))) }
func (s *stopwatch) end()     { s.since.Store(0) }
func (s *stopwatch) on() bool { return s.since.Load() != 0 }

// lasts is for how long it has been going on.
func (s *stopwatch) lasts() time.Duration {
	if since := s.since.Load(); since != 0 {
		return time.Since(s.epoch) - time.Duration(since)
	}
	return 0
}
