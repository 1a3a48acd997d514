package publish

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// How long a lane waits before it repeats a failed write: doubled from one to the other.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// longWait is after how long in the queue a frame's device may have gone on elsewhere.
const longWait = 2 * time.Second

// lane writes one batch at a time. Everything but the inbox belongs to its goroutine.
type lane struct {
	p       *Publisher
	index   int
	inbox   inbox
	waiting []*Frame // taken from the inbox, oldest first, in no batch yet
	dedup   [engine.Kinds]dedupWindow
	epochs  [engine.Kinds]uint64 // of the engine, of which dedup is true; 0 = none yet
	backoff time.Duration
	work    stopwatch // the lane's own, while it waits neither for frames nor for the engine

	quota    *Quota        // of the queue, while the lane does not store
	unstored stopwatch     // since the first attempt at something of which nothing is stored yet
	health   health.Health // of its writes
	worked   atomic.Int64  // when one succeeded while the engine failed, ns since 1970

	batch      engine.Batch
	doubtful   bool      // an attempt at the batch has failed ambiguously
	stoodStill time.Time // until when the process has, shortly before the batch; zero = it has not
	members    []member  // the frames of the batch
	bytes      int
	items      [engine.Kinds][]item // beside the batch's items of each kind

	keys     []key  // of the frame at hand
	touched  uint64 // keeps the compiler from leaving out dedup.touch
	numbered uint64 // frames with messages so far
}

// member is a frame of the batch and what has become of its items so far.
type member struct {
	frame   *Frame
	outcome Outcome
	known   [engine.Kinds]bool // some items of the kind are left out of the batch, because they are remembered
	err     error
}

// item says which member an item of the batch belongs to, and what it is known by.
type item struct {
	member int
	key    key
}

func newLane(p *Publisher, index, dedupLimit int) *lane {
	l := &lane{
		p: p, index: index, backoff: minBackoff,
		inbox: inbox{wake: make(chan struct{}, 1)},
		work:  stopwatch{epoch: time.Now()}, unstored: stopwatch{epoch: time.Now()},
		quota: p.Quota(p.options.Engine.Lanes()),
	}
	l.batch.ID = uint64(index) + 1
	for k := range l.dedup {
		l.dedup[k] = newDedupWindow(dedupLimit / fewer)
	}
	l.dedup[engine.KindRecord] = newDedupWindow(dedupLimit)
	return l
}

// run writes batches until ctx ends, and refuses what is left.
func (l *lane) run(ctx context.Context) {
	defer l.refuseAll()
	for {
		if len(l.waiting) == 0 {
			l.work.end()
			select {
			case <-l.inbox.wake:
			case <-ctx.Done():
				return
			}
			l.work.begin()
			// Sessions that were woken together with this lane, by the same batch or the same network poll,
			// are about to publish too. Letting them run first makes one large write out of several.
			runtime.Gosched()
		}
		l.waiting = l.inbox.take(l.waiting)
		if l.build(); len(l.members) == 0 {
			continue
		}
		if !l.write(ctx) {
			return
		}
	}
}

// build makes a batch of the waiting frames, as many as fit. Frames whose sessions have gone are dropped.
func (l *lane) build() {
	now := time.Now()
	for k := range l.dedup {
		l.dedup[k].rotate(now)
	}
	l.stoodStill = l.p.pulse.stoodStill(now)
	taken := 0
	for _, f := range l.waiting {
		if f.state.Load() == abandoned {
			l.p.release(f)
		} else if l.fits(f) {
			l.add(f, now)
		} else {
			break
		}
		taken++
	}
	l.waiting = slices.Delete(l.waiting, 0, taken)
}

func (l *lane) fits(f *Frame) bool {
	return len(l.members) == 0 ||
		l.batch.Len()+f.items() <= engine.MaxBatchItems && l.bytes+len(f.Buffer) <= engine.MaxBatchBytes
}

// add puts those items of the frame into the batch that were not stored lately. They are remembered at once, so
// that a copy later in the batch is a duplicate as well, and forgotten again if the write fails.
func (l *lane) add(f *Frame, now time.Time) {
	m := member{frame: f}
	l.addRecords(&m)
	l.doubt(&m, now)
	for i := range f.DeadLetters {
		if l.remember(&m, engine.KindDeadLetter, l.p.secret.deadLetter(f.device, &f.DeadLetters[i])) {
			l.batch.DeadLetters = append(l.batch.DeadLetters, f.DeadLetters[i])
		} else {
			m.outcome.DeadLettered++
		}
	}
	for i := range f.Messages {
		if l.remember(&m, engine.KindMessage, l.messageKey(f, i)) {
			l.batch.Messages = append(l.batch.Messages, f.Messages[i])
		} else {
			m.outcome.Messages++
		}
	}
	l.bytes += len(f.Buffer)
	l.members = append(l.members, m)
}

// doubt says of the member's records, the last ones of the batch, whether another process may have them stored.
func (l *lane) doubt(m *member, now time.Time) {
	f, d := m.frame, engine.Doubt(0)
	if f.Recall {
		d |= engine.Arrived
	}
	if m.known[engine.KindRecord] {
		d |= engine.Repeated
	}
	if f.Came.Before(l.stoodStill) || !f.Recall && now.Sub(f.submitted) > longWait {
		d |= engine.Waited
	}
	if d == 0 {
		return
	}
	for i, it := range slices.Backward(l.items[engine.KindRecord]) {
		if it.member != len(l.members) {
			break
		}
		l.batch.Records[i].Doubt = d
	}
}

// addRecords leaves knowing records again to an engine that does so by itself.
func (l *lane) addRecords(m *member) {
	f := m.frame
	if l.p.recognises {
		l.batch.Records = append(l.batch.Records, f.Records...)
		for range f.Records {
			l.items[engine.KindRecord] = append(l.items[engine.KindRecord], item{member: len(l.members)})
		}
		return
	}
	l.keys = l.keys[:0]
	for i := range f.Records {
		l.keys = append(l.keys, l.p.secret.record(f.device, &f.Records[i]))
	}
	l.touched += l.dedup[engine.KindRecord].touch(l.keys)
	for i, k := range l.keys {
		if l.remember(m, engine.KindRecord, k) {
			l.batch.Records = append(l.batch.Records, f.Records[i])
		} else {
			m.outcome.Duplicates++
		}
	}
}

// remember reports whether an item of the member is to be written, and then adds it to those of its kind.
func (l *lane) remember(m *member, k engine.Kind, known key) bool {
	if !l.dedup[k].add(m.frame, known) && !m.frame.doubted {
		m.known[k], l.batch.Known[k] = true, true
		return false
	}
	l.items[k] = append(l.items[k], item{len(l.members), known})
	return true
}

// messageKey knows the frame's message again when the frame is written again, because only some of its items could be
// stored; no other message has it, however equal.
func (l *lane) messageKey(f *Frame, i int) key {
	if f.number == 0 {
		l.numbered++
		f.number = l.numbered
	}
	return l.p.secret.message(f.number, i)
}

// write stores the batch and settles its frames. It reports false when ctx has ended.
func (l *lane) write(ctx context.Context) bool {
	for {
		err := l.store(ctx)
		switch {
		case err == nil:
			if l.settle() {
				l.backoff = minBackoff
				return true
			}
			return l.pause(ctx)
		case ctx.Err() != nil:
			l.giveBack(ErrClosed)
			return false
		case l.doubtful || engine.IsAmbiguous(err):
			// Part of it may be stored. Only this very batch, written again, can find out: its frames
			// stay in it even when their sessions have gone, until the publisher closes.
			l.doubtful = true
			if l.p.closed.Load() && l.forsaken() {
				l.giveBack(err)
				return true
			}
		case engine.IsTransient(err):
			l.requeue()
			return l.pause(ctx)
		default:
			l.giveBack(err)
			return true
		}
		if !l.pause(ctx) {
			l.giveBack(ErrClosed)
			return false
		}
	}
}

// asks reports whether the engine has anything to do: to write, or to say whether what is remembered is still true.
func (l *lane) asks() bool { return l.batch.Len() > 0 || l.batch.Known != [engine.Kinds]bool{} }

// store writes the batch.
func (l *lane) store(ctx context.Context) error {
	n := l.batch.Len()
	l.batch.Results = slices.Grow(l.batch.Results[:0], n)[:n]
	clear(l.batch.Results)
	if !l.asks() {
		return nil
	}
	if n > 0 {
		l.p.options.Metrics.batch.Observe(float64(n))
	}
	if !l.unstored.on() {
		l.unstored.begin()
	}
	l.work.end()
	err := l.p.options.Engine.Store(ctx, l.index, &l.batch)
	l.work.begin()
	if err != nil && ctx.Err() == nil {
		l.report(err)
	}
	return err
}

func (l *lane) refuseAll() {
	for _, f := range l.waiting {
		l.finish(f, Outcome{}, ErrClosed)
	}
	l.waiting = nil
	l.refuseInbox()
}

// refuseInbox refuses what nobody has taken. It is for the lane's end, and for anyone after that.
func (l *lane) refuseInbox() {
	for _, f := range l.inbox.take(nil) {
		l.finish(f, Outcome{}, ErrClosed)
	}
}

// forsaken reports whether no session waits for the batch any more.
func (l *lane) forsaken() bool {
	return !slices.ContainsFunc(l.members, func(m member) bool { return !m.frame.forsaken() })
}

// tidy drops waiting frames whose sessions have gone, so that they hold no room of the queue while nothing is stored.
// Detached ones stay until the publisher drains.
func (l *lane) tidy() {
	closed := l.p.closed.Load()
	l.waiting = slices.DeleteFunc(l.inbox.take(l.waiting), func(f *Frame) bool {
		gone := f.state.Load() == abandoned || closed && f.forsaken()
		if gone {
			l.finish(f, Outcome{}, ErrClosed)
		}
		return gone
	})
}

// pause waits before a repetition. It reports false when ctx has ended.
func (l *lane) pause(ctx context.Context) bool {
	l.tidy()
	l.p.options.Metrics.retries.Inc()
	timer := time.NewTimer(l.backoff)
	defer timer.Stop()
	l.backoff = min(2*l.backoff, maxBackoff)
	l.work.end()
	defer l.work.begin()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
