package command

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// maxPendingOfDevice is how many messages of one device may be in hand.
const maxPendingOfDevice = 64

// pace is what one device may be sent: 20 commands in a row, then one every 2 s.
var pace = limit.Rate{Burst: 20, Interval: 2 * time.Second}

// queue is what one device has in hand at this instance: its commands, one after the other, and its messages, in their
// order. Its goroutine ends when both are gone and the device has got back what its pace allows.
type queue struct {
	dispatcher   *Dispatcher
	ctx          context.Context // of the dispatcher's Run
	imei         string
	entries      []Entry       // the first one is being carried out; under dispatcher.mu
	changed      chan struct{} // the connection has come or gone, or an entry was added
	messages     chan *Message
	pace         limit.Bucket
	inFlight     bool      // a command has begun, and its answer is awaited; under dispatcher.mu
	answered     string    // the command that a message has just settled
	answersSince time.Time // what the device said before answers nothing: when the last command was sent, or zero
}

func newQueue(ctx context.Context, d *Dispatcher, imei string) *queue {
	return &queue{
		dispatcher: d, ctx: ctx, imei: imei,
		changed: make(chan struct{}, 1), messages: make(chan *Message, maxPendingOfDevice),
	}
}

// add puts the command behind the others, unless it is among them. dispatcher.mu is held.
func (q *queue) add(e Entry) {
	if q.has(e.ID) {
		return
	}
	q.entries = append(q.entries, e)
	q.dispatcher.Metrics.inHand.Inc()
	q.wake()
}

// has reports whether the command is in hand. dispatcher.mu is held.
func (q *queue) has(id string) bool {
	return slices.ContainsFunc(q.entries, func(e Entry) bool { return e.ID == id })
}

// addMessage reports whether there was room for the message. dispatcher.mu is held.
func (q *queue) addMessage(m *Message) bool {
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
			if q.execute(e) {
				q.drop(e.ID)
			} else {
				q.giveBackFrom(0)
				q.wait(sendPause) // the store may think that the device is here
			}
		case q.end():
			return
		default:
			q.wait(q.pace.Wait(pace.Burst, time.Now(), pace)) // or for a message
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
		q.dispatcher.release(<-q.messages)
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
	if len(q.entries) > 0 || len(q.messages) > 0 || q.pace.Wait(pace.Burst, time.Now(), pace) > 0 {
		return false
	}
	delete(q.dispatcher.queues, q.imei)
	return true
}

// sender is the device's connection, or nil.
func (q *queue) sender() Sender { return q.dispatcher.sender(q.imei) }

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

// settleAll settles the messages that have arrived, so that none of them is taken for the answer to what is sent next.
func (q *queue) settleAll() {
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
	defer q.dispatcher.release(m)
	if id, ok := q.dispatcher.settle(q.ctx, m, !m.Received.Before(q.answersSince)); ok {
		q.answered = id
	}
}

// execute does everything for a command until it is off our hands. It reports false if the device is not connected here
// any more, so that somebody else has to.
func (q *queue) execute(e Entry) bool {
	d := q.dispatcher
	for q.ctx.Err() == nil {
		sender := q.sender()
		if sender == nil {
			return false
		}
		if pause := q.pace.Wait(1, time.Now(), pace); pause > 0 {
			q.wait(pause)
			continue
		}
		if reason := d.denies(&e); reason != "" {
			d.finish(q.ctx, e, Failed, reason)
			return true
		}
		q.settleAll()
		asked := time.Now()
		lease, err := d.Store.Begin(q.ctx, e.ID, d.Timeouts)
		switch {
		case errors.Is(err, ErrUnknown):
			d.finish(q.ctx, e, Failed, "the store has lost the command")
			return true
		case err != nil:
			d.storeFailed("begin", err)
			q.wait(storePause)
			d.withdraw(q.ctx, e.ID) // it may have begun
		case lease.Granted:
			d.watchers.tell(lease.Entry)
			q.pace.Take(1, time.Now(), pace)
			if q.send(sender, lease.Entry, asked.Add(d.Timeouts.Send)) {
				return true
			}
		case lease.Wait > 0:
			// The store's clock decides when it has expired: by ours it may have, long ago.
			q.wait(max(sendPause, min(lease.Wait, time.Until(e.Expires))))
		case lease.Entry.State == Queued:
			return false // the device is elsewhere by now
		case lease.Ended:
			d.finished(&lease.Entry)
			return true
		default:
			d.watchers.tell(lease.Entry)
			return true
		}
	}
	return true
}

// send sends the command that has the lease, by then at the latest, and awaits its answer. It reports whether the
// command is off our hands.
func (q *queue) send(s Sender, e Entry, by time.Time) bool {
	d := q.dispatcher
	frame, err := e.Frame()
	if err != nil {
		d.finish(q.ctx, e, Failed, err.Error())
		return true
	}
	d.setInFlight(q.imei, true) // before it is: its answer may be here sooner than we are
	defer d.setInFlight(q.imei, false)
	if e.Expires.Before(by) {
		by = e.Expires
	}
	ctx, cancel := context.WithDeadline(q.ctx, by.Round(0)) // by the clock on the wall, whatever stops this process
	written, err := s.Send(ctx, frame, e.OnlyIf)
	cancel()
	if notMet, ok := errors.AsType[*condition.NotMet](err); ok {
		e.Attempts-- // this one was none
		d.finish(q.ctx, e, Failed, notMet.Error())
		return true
	}
	if err != nil {
		d.withdraw(q.ctx, e.ID)
		q.wait(sendPause)
		return false
	}
	d.commandLog(&e.Command).Info("command sent", "attempts", e.Attempts)
	if q.answersSince = written; e.Attempts > 1 {
		q.answersSince = time.Time{} // it may be the answer to the attempt before
	}
	q.await(s, e)
	return true
}

// await waits for the answer to a command that s has sent. If none comes in time the command times out.
func (q *queue) await(s Sender, e Entry) {
	d := q.dispatcher
	q.answered = ""
	for deadline := time.Now().Add(e.Timeout); time.Now().Before(deadline); {
		q.wait(time.Until(deadline))
		if q.answered == e.ID || q.ctx.Err() != nil {
			return
		}
		switch now := q.sender(); {
		case now == nil:
			d.watchers.tell(e) // another instance may get the answer
			q.giveBackFrom(1)
		case now != s:
			s = now
			if other, err := d.Store.Lookup(q.ctx, e.ID); err == nil && other.State.Final() {
				d.watchers.tell(other)
				return // it was answered where the device was meanwhile
			}
		}
	}
	if q.settleAll(); q.answered != e.ID { // it may have come in time and not been looked at
		d.finish(q.ctx, e, TimedOut, ReasonNoAnswer)
	}
}

// giveBackFrom gives back all commands but the first n, whose answers are awaited: the device is not connected here any
// more. They leave the queue first, because the store may hand them over again at once.
func (q *queue) giveBackFrom(n int) {
	d := q.dispatcher
	d.mu.Lock()
	back := q.entries[n:]
	q.entries = q.entries[:n:n]
	d.Metrics.inHand.Sub(float64(len(back)))
	d.mu.Unlock()
	for _, e := range back {
		d.giveBack(q.ctx, e.ID)
		d.watchers.tell(e) // another instance may finish it
	}
}
