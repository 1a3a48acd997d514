package publish

import (
	"context"
	"runtime"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What one batch holds at the most; a single frame always fits.
const (
	maxBatchItems = 4096
	maxBatchBytes = 4 << 20
)

// How long a lane waits before it repeats a failed write: doubled from one to the other.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// lane writes one batch at a time. Everything but the inbox belongs to its goroutine.
type lane struct {
	p       *Publisher
	index   int
	inbox   inbox
	waiting []*Frame // taken from the inbox, oldest first, in no batch yet
	recent  memory
	backoff time.Duration
	work    work

	batch   engine.Batch
	members []member // the frames of the batch
	bytes   int
	items   [kinds][]item // beside the batch's items of each kind

	keys     []key  // of the frame at hand
	touched  uint64 // keeps the compiler from leaving out recent.touch
	numbered uint64 // frames with messages so far
}

// kind is what an item is. The batch's results come in this order.
type kind int

const (
	records kind = iota
	deadLetters
	messages
	kinds
)

// member is a frame of the batch and what has become of its items so far.
type member struct {
	frame   *Frame
	outcome Outcome
	err     error
}

// item says which member an item of the batch belongs to, and what it is known by.
type item struct {
	member int
	key    key
}

func newLane(p *Publisher, index, recentLimit int) *lane {
	return &lane{
		p: p, index: index, backoff: minBackoff,
		inbox:  inbox{wake: make(chan struct{}, 1)},
		recent: newMemory(recentLimit),
		work:   work{epoch: time.Now()},
	}
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
	l.recent.rotate(time.Now())
	taken := 0
	for _, f := range l.waiting {
		if f.state.Load() == abandoned {
			l.p.release(f)
		} else if l.fits(f) {
			l.add(f)
		} else {
			break
		}
		taken++
	}
	l.waiting = slices.Delete(l.waiting, 0, taken)
}

func (l *lane) fits(f *Frame) bool {
	return len(l.members) == 0 || l.batch.Len()+f.items() <= maxBatchItems && l.bytes+len(f.Buffer) <= maxBatchBytes
}

// add puts those items of the frame into the batch that were not stored lately. They are remembered at once, so
// that a copy later in the batch is a duplicate as well, and forgotten again if the write fails.
func (l *lane) add(f *Frame) {
	m := member{frame: f}
	l.keys = l.keys[:0]
	for i := range f.Records {
		l.keys = append(l.keys, l.p.secret.record(f.device, &f.Records[i]))
	}
	l.touched += l.recent.touch(l.keys)
	for i, k := range l.keys {
		if l.remember(f, records, k) {
			l.batch.Records = append(l.batch.Records, f.Records[i])
		} else {
			m.outcome.Duplicates++
		}
	}
	for i := range f.DeadLetters {
		if l.remember(f, deadLetters, l.p.secret.deadLetter(f.device, &f.DeadLetters[i])) {
			l.batch.DeadLetters = append(l.batch.DeadLetters, f.DeadLetters[i])
		} else {
			m.outcome.DeadLettered++
		}
	}
	for i := range f.Messages {
		if l.remember(f, messages, l.messageKey(f, i)) {
			l.batch.Messages = append(l.batch.Messages, f.Messages[i])
		} else {
			m.outcome.Messages++
		}
	}
	l.bytes += len(f.Buffer)
	l.members = append(l.members, m)
}

// remember reports whether an item of the frame is new, and then adds it to those of its kind.
func (l *lane) remember(f *Frame, k kind, known key) bool {
	if !l.recent.add(f, known) {
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
		case l.batch.Unsure || engine.IsAmbiguous(err):
			// Part of it may be stored. Only this very batch, written again, can find out: its frames
			// stay in it even when their sessions have gone, until the publisher closes.
			l.batch.Unsure = true
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

// store writes the batch unless everything in it was stored before.
func (l *lane) store(ctx context.Context) error {
	n := l.batch.Len()
	l.batch.Results = slices.Grow(l.batch.Results[:0], n)[:n]
	clear(l.batch.Results)
	if n == 0 {
		return nil
	}
	l.p.options.Metrics.batch.Observe(float64(n))
	l.work.end()
	err := l.p.options.Engine.Store(ctx, l.index, &l.batch)
	l.work.begin()
	if err != nil && ctx.Err() == nil {
		l.p.report(err)
	}
	return err
}

// settle answers the frames of a batch that the engine has taken, item by item. It reports false when frames
// are to be written again because items of theirs failed in a way that a retry can cure.
func (l *lane) settle() bool {
	failed := l.collect()
	if len(l.batch.Results) > 0 {
		l.p.report(failed)
	}
	var again []*Frame
	for i := range l.members {
		m := &l.members[i]
		if m.err == nil && failed != nil && m.outcome.Duplicates+m.outcome.DeadLettered > 0 {
			// Its duplicates may be copies of an item that failed just now.
			m.err = failed
		}
		if m.err != nil && engine.IsTransient(m.err) {
			again = append(again, m.frame)
			continue
		}
		l.finish(m.frame, m.outcome, m.err)
	}
	l.waiting = slices.Insert(l.waiting, 0, again...)
	l.clearBatch()
	return len(again) == 0
}

// collect adds up the members' results and returns an error of those that failed, nil if none did.
func (l *lane) collect() (failed error) {
	results := l.batch.Results
	for k, items := range l.items {
		for i, it := range items {
			m, result := &l.members[it.member], &results[i]
			if result.Err != nil {
				l.recent.remove(it.key)
				m.err, failed = result.Err, result.Err
				continue
			}
			m.outcome.count(kind(k), result.Duplicate)
		}
		results = results[len(items):]
	}
	return failed
}

// requeue takes the batch apart: its frames wait again, in their order and before all others.
func (l *lane) requeue() {
	l.forget()
	frames := make([]*Frame, len(l.members))
	for i, m := range l.members {
		frames[i] = m.frame
	}
	l.waiting = slices.Insert(l.waiting, 0, frames...)
	l.clearBatch()
}

// giveBack refuses every frame of the batch.
func (l *lane) giveBack(err error) {
	l.forget()
	for _, m := range l.members {
		l.finish(m.frame, Outcome{}, err)
	}
	l.clearBatch()
}

// forget takes back that the batch's items were remembered.
func (l *lane) forget() {
	for _, items := range l.items {
		for _, it := range items {
			l.recent.remove(it.key)
		}
	}
}

func (l *lane) clearBatch() {
	b := &l.batch
	clear(b.Records)
	clear(b.DeadLetters)
	clear(b.Messages)
	clear(l.members)
	b.Records, b.DeadLetters, b.Messages, b.Unsure = b.Records[:0], b.DeadLetters[:0], b.Messages[:0], false
	l.members, l.bytes = l.members[:0], 0
	for k := range l.items {
		l.items[k] = l.items[k][:0]
	}
}

// finish tells the frame's session, or releases the frame if that no longer waits.
func (l *lane) finish(f *Frame, outcome Outcome, err error) {
	f.outcome, f.err = outcome, err
	if f.state.CompareAndSwap(pending, settled) {
		f.done <- struct{}{}
		return
	}
	if err == nil {
		l.p.options.Metrics.late.Add(float64(outcome.Published))
	}
	l.p.release(f)
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
	return !slices.ContainsFunc(l.members, func(m member) bool { return m.frame.state.Load() != abandoned })
}

// tidy drops waiting frames whose sessions have gone, so that they hold no room of the queue while nothing is stored.
func (l *lane) tidy() {
	l.waiting = slices.DeleteFunc(l.inbox.take(l.waiting), func(f *Frame) bool {
		if f.state.Load() != abandoned {
			return false
		}
		l.p.release(f)
		return true
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
