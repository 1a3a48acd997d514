package postgres

import (
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// warnEvery is how often it is logged that rows are removed for new ones.
const warnEvery = time.Minute

// room is what was removed for others to have room.
type room struct {
	removed atomic.Int64 // by this process
	warned  atomic.Int64 // when, in ms since 1970 UTC
}

// noteRoom warns, once in a while, that rows were removed for new ones.
func (l *lane) noteRoom(k engine.Kind, rows int64) {
	r, now := &l.e.rooms[k], time.Now().UnixMilli()
	r.removed.Add(rows)
	last := r.warned.Load()
	if now-last < warnEvery.Milliseconds() || !r.warned.CompareAndSwap(last, now) {
		return
	}
	if k == engine.KindDeadLetter {
		l.e.log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time",
			"limit", l.e.opt.DeadLetterMaxBytes)
		return
	}
	l.e.log.Warn("oldest messages removed to make room for new ones: read them in time, or allow more",
		"limit", l.e.opt.MessageMaxBytes)
}
