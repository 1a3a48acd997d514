package mirror

import (
	"errors"
	"net"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// When a frame is given up that the old platform does not answer, though it takes the login: after some attempts if it
// has answered others meanwhile, or after many and so long. Time alone says nothing: the old platform may be away.
const (
	maxAttempts  = 3
	manyAttempts = 30
	maxStuck     = time.Hour
)

// The longest pauses between attempts: of one that fails, and of a login that is refused.
const (
	maxPause   = 30 * time.Second
	maxRefusal = 5 * time.Minute
)

// maxRefusals is how many logins in a row are refused until what a device that has left left is given up; with the
// pauses between them that takes five minutes. A platform that starts may refuse anybody for a while.
const maxRefusals = 7

// bearer brings a device's frames to the old platform, one after the other: the next one when this one is answered. Its
// goroutine is the only one that the device has here.
type bearer struct {
	*Queue
	conn          net.Conn // nil without one
	release       func() bool
	until         time.Time // when the exchange has to be over
	hand          *attempts // nil if it has no frame
	pauses        backoff.Backoff
	refusals      backoff.Backoff
	refusedLogins int // in a row
}

// attempts are those with one frame.
type attempts struct {
	item
	count   int
	since   time.Time // of the first one
	answers uint64    // that the old platform had given anybody by then
}

func newBearer(q *Queue) *bearer {
	return &bearer{Queue: q, pauses: backoff.Backoff{First: q.mirror.pause, Max: maxPause},
		refusals: backoff.Backoff{First: 5 * q.mirror.pause, Max: maxRefusal}}
}

// run works until the mirror ends, or nothing waits and the device has left.
func (b *bearer) run() {
	defer b.hangUp()
	for b.ctx.Err() == nil {
		switch b.pick(); {
		case b.hand != nil || b.conn == nil && b.inSession():
			if err := b.work(); err != nil {
				b.recoverFrom(err)
			}
		case b.mirror.forget(b.Queue):
			return
		default:
			select {
			case <-b.wake:
			case <-b.ctx.Done():
			}
		}
	}
	if b.isEvicted() {
		b.giveUp("devices")
	}
}

// pick takes the next frame in hand, if there is none.
func (b *bearer) pick() {
	if b.hand != nil && b.hand.stale() {
		b.finish(&b.hand.item)
		b.hand = nil
	}
	if b.hand != nil {
		return
	}
	if i, ok := b.next(); ok {
		b.hand = &attempts{item: i}
	}
}

// work makes a connection if there is none, and sends the frame in hand.
func (b *bearer) work() error {
	used := b.conn != nil
	if !used {
		if err := b.connect(); err != nil {
			return err
		}
	}
	if b.hand == nil {
		return nil
	}
	frame, err := b.hand.read()
	switch {
	case errors.Is(err, errGone): // and counted
		b.done(errNotAcknowledged)
		return nil
	case err != nil:
		b.lost("disk", err)
		return nil
	}
	if err = b.exchange(frame); used && outcomeOf(err) == outcomeClosed {
		b.hangUp() // it was idle: the old platform may have ended it long ago
		return nil
	}
	return b.conclude(frame, err)
}

// conclude counts what has become of an attempt, and says what follows for the frame.
func (b *bearer) conclude(frame teltonika.Frame, err error) error {
	if b.ctx.Err() != nil {
		return err
	}
	outcome := outcomeOf(err)
	if err == nil && frame.Codec().IsMessage() {
		outcome = outcomeSent
	}
	b.mirror.metrics.frames.WithLabelValues(outcome).Inc()
	switch {
	case err == nil:
		b.pauses.Reset()
		if outcome == outcomeAcknowledged { // a message says nothing of whether others are answered
			b.mirror.answers.Add(1)
		}
		b.done(nil)
	case errors.Is(err, errWrongAnswer):
		b.done(errNotAcknowledged)
	case b.hopeless():
		b.lost("unanswered", err)
	}
	return err
}

// hopeless reports whether it is the frame, and not the old platform, that there is no answer.
func (b *bearer) hopeless() bool {
	h, answers := b.hand, b.mirror.answers.Load()
	if h.count++; h.count == 1 {
		h.since, h.answers = time.Now(), answers
	}
	return h.count >= maxAttempts && answers != h.answers || h.count >= manyAttempts && time.Since(h.since) > maxStuck
}

// done has nothing in hand any more.
func (b *bearer) done(err error) {
	b.hand.receipt.settle(err)
	b.finish(&b.hand.item)
	b.hand = nil
}

// lost drops the frame in hand.
func (b *bearer) lost(reason string, err error) {
	b.hand.receipt.settle(errNotAcknowledged)
	if b.finish(&b.hand.item) {
		b.mirror.dropped(reason, 1, err)
	}
	b.hand = nil
}

// giveUp drops all that waits.
func (b *bearer) giveUp(reason string) {
	if b.hand != nil {
		b.lost(reason, nil)
	}
	b.dropAll(reason)
}

// recoverFrom pauses after a failure.
func (b *bearer) recoverFrom(err error) {
	b.hangUp()
	refused := errors.Is(err, errRefused)
	b.setRefused(refused)
	if !refused {
		b.pauses.Wait(b.ctx)
		return
	}
	if b.refusedLogins++; b.refusedLogins >= maxRefusals && !b.inSession() { // it would keep a place for ever
		b.giveUp("refused")
		return
	}
	b.refusals.Wait(b.ctx)
}

func (b *bearer) hangUp() {
	if b.conn == nil {
		return
	}
	b.release()
	_ = b.conn.Close()
	b.conn = nil
	b.mirror.metrics.connections.Dec()
}
