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

// stoodStill is until when the process has stood still, if frames may be found that have come before that; else zero.
func (p *pulse) stoodStill(now time.Time) time.Time {
	since, ended := int64(now.Sub(p.began)), p.ended.Load()
	switch {
	case since-p.last.Load() > int64(standstill):
		return now // as far as anybody knows
	case ended > 0 && since-ended < int64(aftermath):
		return p.began.Add(time.Duration(ended))
	}
	return time.Time{}
}
