package command

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"
)

// maxQueued is how many commands may wait for one device at an instance.
const maxQueued = 256

const tooManyWait = "too many commands wait for this device"

// maxSaid is how many messages of one device may be in hand.
const maxSaid = 64

// queue is what there is to do for one device at this instance: its commands, one after the other, and its messages, in
// their order. It has a goroutine until all are off our hands and the device has got back what its pace allows.
type queue struct {
	dispatcher *Dispatcher
	ctx        context.Context // of the dispatcher's Run
	imei       string
	entries    []Entry       // the first one is being carried out; under dispatcher.mu
	changed    chan struct{} // the line has come or gone, or an entry was added
	messages   chan *Message
	pace       pace
	inFlight   bool      // a command has begun, and its answer is awaited; under dispatcher.mu
	answered   string    // the command that a message has just settled
	unasked    time.Time // when the last command was sent, or zero: what the device had said before answers nothing
}

func newQueue(ctx context.Context, d *Dispatcher, imei string) *queue {
	return &queue{dispatcher: d, ctx: ctx, imei: imei, changed: make(chan struct{}, 1), messages: make(chan *Message, maxSaid)}
}

// add puts the command behind the others, unless it is among them. It reports whether there was room. dispatcher.mu is held.
func (q *queue) add(e Entry) bool {
	if slices.ContainsFunc(q.entries, func(other Entry) bool { return other.ID == e.ID }) {
		return true
	}
	if len(q.entries) == maxQueued {
		return false
	}
	q.entries = append(q.entries, e)
	q.dispatcher.Metrics.inHand.Inc()
	q.wake()
	return true
}

// say adds a message. It reports whether there was room. dispatcher.mu is held.
func (q *queue) say(m *Message) bool {
	select {
	case q.messages <- m:
		return true
	default:
		return false
	}
}

func (q *queue) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// run carries out the commands one by one.
func (q *queue) run() {
	defer q.contain()
	for q.ctx.Err() == nil {
		e, ok := q.first()
		switch {
		case ok:
			if q.carryOut(e) {
				q.drop(e.ID)
			} else {
				q.giveBackFrom(0)
				q.wait(sendPause) // the store may think that the device is here
			}
		case q.end():
			return
		default:
			q.wait(q.pace.full(time.Now())) // or for a message
		}
	}
}

// contain ends the queue when a bug made it panic: it is one device's, and the others go on.
func (q *queue) contain() {
	p := recover()
	if p == nil {
		return
	}
	q.dispatcher.Logger.Error("command queue panicked", "imei", q.imei, "panic", p, "stack", string(debug.Stack()))
	q.dispatcher.mu.Lock()
	q.dispatcher.Metrics.inHand.Sub(float64(len(q.entries)))
	delete(q.dispatcher.queues, q.imei)
	q.dispatcher.mu.Unlock()
	for len(q.messages) > 0 {
		q.dispatcher.heard(<-q.messages)
	}
}

func (q *queue) first() (Entry, bool) {
	q.dispatcher.mu.Lock()
	defer q.dispatcher.mu.Unlock()
	if len(q.entries) == 0 {
		return Entry{}, false
	}
	return q.entries[0], true
}

func (q *queue) drop(id string) {
	q.dispatcher.mu.Lock()
	defer q.dispatcher.mu.Unlock()
	before := len(q.entries)
	q.entries = slices.DeleteFunc(q.entries, func(e Entry) bool { return e.ID == id })
	q.dispatcher.Metrics.inHand.Sub(float64(before - len(q.entries)))
}

// end takes the queue off the dispatcher if there is nothing left to do.
func (q *queue) end() bool {
	q.dispatcher.mu.Lock()
	defer q.dispatcher.mu.Unlock()
	if len(q.entries) > 0 || len(q.messages) > 0 || q.pace.full(time.Now()) > 0 {
		return false
	}
	delete(q.dispatcher.queues, q.imei)
	return true
}

// line is the device's connection, or nil.
func (q *queue) line() Sender {
	q.dispatcher.mu.Lock()
	defer q.dispatcher.mu.Unlock()
	return q.dispatcher.lines[q.imei].line
}

// wait waits for d at most: less when something changes or a message arrives, which it settles.
func (q *queue) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.changed:
	case m := <-q.messages:
		q.settle(m)
	case <-q.ctx.Done():
	}
}

// hearOut settles the messages that have arrived, so that none of them is taken for the answer to what is sent next.
func (q *queue) hearOut() {
	for {
		select {
		case m := <-q.messages:
			q.settle(m)
		default:
			return
		}
	}
}

func (q *queue) settle(m *Message) {
	defer q.dispatcher.heard(m)
	if id, ok := q.dispatcher.settle(q.ctx, m, !m.Received.Before(q.unasked)); ok {
		q.answered = id
	}
}

// carryOut does everything for a command until it is off our hands. It reports false if the device is not connected here
// any more, so that somebody else has to.
func (q *queue) carryOut(e Entry) bool {
	d := q.dispatcher
	for q.ctx.Err() == nil {
		line := q.line()
		if line == nil {
			return false
		}
		if pause := q.pace.due(time.Now()); pause > 0 {
			q.wait(pause)
			continue
		}
		if reason := d.forbids(&e); reason != "" {
			d.finish(q.ctx, e, Failed, reason)
			return true
		}
		q.hearOut()
		asked := time.Now()
		turn, err := d.Store.Begin(q.ctx, e.ID, d.Timeouts)
		switch {
		case errors.Is(err, ErrUnknown):
			d.finish(q.ctx, e, Failed, "the store has lost the command")
			return true
		case err != nil:
			d.storeFailed("begin", err)
			q.wait(storePause)
			d.withdraw(q.ctx, e.ID) // it may have begun
		case turn.Granted:
			q.pace.take(time.Now())
			if q.send(line, turn.Entry, asked.Add(d.Timeouts.Send)) {
				return true
			}
		case turn.Wait > 0:
			// The store's clock decides when it has expired: by ours it may have, long ago.
			q.wait(max(sendPause, min(turn.Wait, time.Until(e.Expires))))
		case turn.Entry.State == Queued:
			return false // the device is elsewhere by now
		default:
			if turn.Ended {
				d.finished(&turn.Entry)
			}
			return true
		}
	}
	return true
}

// send sends the command whose turn it is, by then, and waits for its answer. It reports whether the command is off our hands.
func (q *queue) send(line Sender, e Entry, by time.Time) bool {
	d := q.dispatcher
	frame, err := e.Frame()
	if err != nil {
		d.finish(q.ctx, e, Failed, err.Error())
		return true
	}
	d.setInFlight(q.imei, true) // before it is: its answer may be here sooner than we are
	defer d.setInFlight(q.imei, false)
	ctx, cancel := context.WithDeadline(q.ctx, earlier(by, e.Expires).Round(0)) // by the clock on the wall, whatever stops this process
	written, err := line.Send(ctx, frame)
	cancel()
	if err != nil {
		d.withdraw(q.ctx, e.ID)
		q.wait(sendPause)
		return false
	}
	d.auditLog.Info("command sent", "id", e.ID, "imei", e.IMEI, "command", Name(e.Payload), "codec", e.Codec.String(), "attempts", e.Attempts)
	if q.unasked = written; e.Attempts > 1 {
		q.unasked = time.Time{} // it may be the answer to the attempt before
	}
	q.await(line, e)
	return true
}

// await waits for the answer to a command that has been sent by the line, and gives it its final state if there is none in time.
func (q *queue) await(line Sender, e Entry) {
	d := q.dispatcher
	q.answered = ""
	for deadline := time.Now().Add(e.Timeout); time.Now().Before(deadline); {
		q.wait(time.Until(deadline))
		if q.answered == e.ID || q.ctx.Err() != nil {
			return
		}
		switch now := q.line(); {
		case now == nil:
			q.giveBackFrom(1)
		case now != line:
			line = now
			if other, err := d.Store.Lookup(q.ctx, e.ID); err == nil && other.State.Final() {
				return // it was answered where the device was meanwhile
			}
		}
	}
	if q.hearOut(); q.answered != e.ID { // it may have come in time and not been looked at
		d.finish(q.ctx, e, TimedOut, ReasonNoAnswer)
	}
}

// giveBackFrom gives back all commands but so many in front, whose answers are awaited: the device is not connected here any more,
// and they need not wait for that where it is. They leave the queue before, because they may be handed over again at once.
func (q *queue) giveBackFrom(n int) {
	q.dispatcher.mu.Lock()
	back := q.entries[n:]
	q.entries = q.entries[:n:n]
	q.dispatcher.Metrics.inHand.Sub(float64(len(back)))
	q.dispatcher.mu.Unlock()
	for _, e := range back {
		q.dispatcher.giveBack(q.ctx, e.ID)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
