package publish

import (
	"context"
	"sync/atomic"
	"time"
)

// A process that stands still (SIGSTOP, a paused machine) does not know it. Afterwards it finds frames in its sockets
// whose devices have gone on elsewhere meanwhile and have had the same records stored there.
const (
	pulseEvery = 500 * time.Millisecond
	standstill = 2 * time.Second  // between two beats: the process stood still
	aftermath  = 30 * time.Second // for how long what arrived before is found
)

// pulse tells whether the process has stood still lately. Its times are since it began.
type pulse struct {
	began time.Time
	last  atomic.Int64 // beat
	ended atomic.Int64 // the last standstill; 0 = there was none
}

func (p *pulse) run(ctx context.Context) {
	beat := time.NewTicker(pulseEvery)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			p.beat(int64(time.Since(p.began)))
		case <-ctx.Done():
			return
		}
	}
}

func (p *pulse) beat(now int64) {
	if now-p.last.Swap(now) > int64(standstill) {
		p.ended.Store(now)
	}
}

// stoodStill reports whether frames may be found that have arrived before a standstill.
func (p *pulse) stoodStill(now time.Time) bool {
	since := int64(now.Sub(p.began))
	ended := p.ended.Load()
	return since-p.last.Load() > int64(standstill) || ended > 0 && since-ended < int64(aftermath)
}
