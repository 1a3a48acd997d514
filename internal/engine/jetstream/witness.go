package jetstream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Whoever remembers what was stored has to hear when it is gone: when the stream was deleted and made again, purged,
// restored from an older state, or messages were deleted. A lane asks the leader for the state of the stream and for
// the newest message that was confirmed to it. What the stream's own limits remove is not lost.

// checkEvery is how often a stream is looked at that is written to: before it could be emptied by somebody and grow to
// its limit again.
const checkEvery = time.Second

// position is what a lane knows of a stream.
type position struct {
	kind      engine.Kind
	shard     int
	fences    int // that were closed
	itemLimit int // what the stream takes of one message; 0 = what the server takes

	newest  uint64 // the last sequence confirmed to the lane, or that the stream had before
	batch   string // the atomic batch of that; empty = none was confirmed
	own     []mark // what was confirmed, oldest first
	epoch   uint64 // 0 = the stream was not looked at yet
	created time.Time
	seen    jetstream.StreamState
	checked time.Time
}

// mark is the first sequence that was confirmed to the lane within markEvery.
type mark struct {
	at       time.Time
	sequence uint64
}

const (
	markEvery = 10 * time.Second
	maxMarks  = 360
)

// begin notes a stream as it is found.
func (p *position) begin(info *jetstream.StreamInfo) {
	p.epoch++
	p.created, p.seen, p.checked = info.Created, info.State, time.Now()
	p.newest, p.batch, p.own = info.State.LastSeq, "", nil
	p.itemLimit = max(0, int(info.Config.MaxMsgSize))
}

// confirmed notes that so many messages are stored, up to a sequence.
func (p *position) confirmed(last uint64, count int, batch string, now time.Time) {
	p.newest, p.batch = last, batch
	if n := len(p.own); n > 0 && now.Sub(p.own[n-1].at) < markEvery {
		return
	}
	if len(p.own) == maxMarks {
		p.own = append(p.own[:0], p.own[1:]...)
	}
	p.own = append(p.own, mark{now, last - uint64(count) + 1})
}

// look looks at the stream, and begins another epoch if something of the lane's is lost.
func (e *Engine) look(ctx context.Context, p *position, now time.Time) error {
	info, err := e.info(ctx, p.kind, p.shard)
	if err != nil {
		return err
	}
	there := true
	if p.batch != "" && p.newest >= info.State.FirstSeq && p.newest <= info.State.LastSeq {
		batch, found, err := e.link.batchOf(ctx, info.Config.Name, p.newest)
		if err != nil {
			return e.classify(p.kind, p.shard, err)
		}
		there = found && batch == p.batch
	}
	if p.lost(info, there, now) {
		p.begin(info)
	}
	p.seen, p.checked = info.State, now
	return nil
}

// ageSlack is by how much a server may be early with what is too old.
const ageSlack = 5 * time.Second

// lost reports whether something is gone that was confirmed to the lane. newest says whether the newest message is
// there, as far as that can be asked.
func (p *position) lost(info *jetstream.StreamInfo, newest bool, now time.Time) bool {
	state, c := &info.State, &info.Config
	switch {
	case !info.Created.Equal(p.created), state.LastSeq < p.newest, !newest:
		return true
	case c.Retention != jetstream.LimitsPolicy:
		return false // what is consumed goes
	case state.NumDeleted > p.seen.NumDeleted && c.MaxMsgsPerSubject <= 0 && !c.AllowMsgTTL:
		return true
	case len(p.own) == 0 || state.FirstSeq <= p.own[0].sequence, full(state, c):
		return false
	case c.MaxAge <= 0:
		return true
	}
	for _, m := range p.own {
		if now.Sub(m.at) < c.MaxAge-ageSlack {
			return m.sequence < state.FirstSeq
		}
	}
	return false
}

// full reports whether the stream is about as large as it may be, so that its oldest messages go.
func full(s *jetstream.StreamState, c *jetstream.StreamConfig) bool {
	return c.MaxMsgs > 0 && s.Msgs >= uint64(c.MaxMsgs-c.MaxMsgs/10) ||
		c.MaxBytes > 0 && s.Bytes >= uint64(c.MaxBytes-c.MaxBytes/10)
}
