package command

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"
)

// How long the dispatcher waits before it repeats what failed.
const (
	storePause = time.Second            // a call of the store
	sendPause  = 100 * time.Millisecond // a command that could not be sent
)

// getver is the command that a device answers with its model and firmware.
const getver = "getver"

// eventTimeout is how long the dispatcher tries to keep an event.
const eventTimeout = 10 * time.Second

// retry calls the store until it does not fail, or ctx ends. ErrUnknown is an answer.
func (d *Dispatcher) retry(ctx context.Context, what string, call func() error) error {
	for {
		err := call()
		if err == nil || errors.Is(err, ErrUnknown) {
			return err
		}
		d.storeFailed(what, err)
		select {
		case <-time.After(storePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *Dispatcher) storeFailed(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	d.Metrics.storeErrors.Inc()
	d.Logger.Error("command store failed", "call", what, "error", err)
}

// finish gives the command its final state, unless it has got one meanwhile.
func (d *Dispatcher) finish(ctx context.Context, e Entry, s State, reason string) {
	e = e.Finished(s, reason, time.Now())
	var now Entry
	err := d.retry(ctx, "finish", func() (err error) {
		now, err = d.Store.Finish(ctx, e, d.Timeouts)
		return err
	})
	switch {
	case err != nil:
	case now.State == s && now.Reason == reason:
		d.finished(&now)
	default:
		d.watchers.tell(now)
	}
}

func (d *Dispatcher) withdraw(ctx context.Context, id string) {
	_ = d.retry(ctx, "withdraw", func() error { return d.Store.Withdraw(ctx, id) })
}

func (d *Dispatcher) giveBack(ctx context.Context, id string) {
	_ = d.retry(ctx, "return", func() error { return d.Store.Return(ctx, id) })
}

// settle finds out what a message is, and tells who waits for that: the answer to a command, whose id it
// returns, a late one, which becomes an event, or none.
func (d *Dispatcher) settle(ctx context.Context, m *Message, mayAnswer bool) (answered string, ok bool) {
	match, e := MatchNone, Entry{}
	if mayAnswer {
		match, e = d.match(ctx, m)
	}
	d.Metrics.message(match)
	if m.match != nil {
		m.match <- match
	}
	switch match {
	case MatchAnswer:
		d.finished(&e)
		return e.ID, true
	case MatchLate:
		d.learn(&e, m.Payload)
		d.publishLate(ctx, &Event{Message: *m, Kind: match, Command: e.ID})
	}
	return "", false
}

// match asks the store whose answer the message is.
func (d *Dispatcher) match(ctx context.Context, m *Message) (match Match, e Entry) {
	tries := 0
	err := d.retry(ctx, "settle", func() (err error) {
		tries++
		match, e, err = d.Store.Settle(ctx, m, d.Timeouts)
		return err
	})
	if err != nil {
		return MatchNone, Entry{}
	}
	if tries > 1 && match == MatchLate && bytes.Equal(e.Response, m.Payload) {
		match = MatchAnswer // of the try before, whose own answer was lost
	}
	return match, e
}

func (d *Dispatcher) publishLate(ctx context.Context, e *Event) {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	if err := d.retry(ctx, "publish", func() error { return d.Store.Publish(ctx, e) }); err != nil {
		d.Metrics.message(messageDropped)
	}
}

// learn takes in what the answer to a command says of its device.
func (d *Dispatcher) learn(e *Entry, answer []byte) {
	if Name(e.Payload) == getver {
		d.Models.Answered(e.IMEI, answer)
	}
}

// commandLog names the command in what is logged of it, and what is odd about it.
func (d *Dispatcher) commandLog(c *Command) *slog.Logger {
	log := d.auditLog.With("id", c.ID, "imei", c.IMEI, "command", Name(c.Payload), "codec", c.Codec.String())
	if odd := NotPlain(c.Payload); odd != "" {
		return log.With("not_plain", odd)
	}
	return log
}

// finished learns from, counts and logs a final state, once for each command, and wakes whoever waits for it.
func (d *Dispatcher) finished(e *Entry) {
	if e.State == Answered {
		d.learn(e, e.Response)
	}
	d.watchers.tell(*e)
	d.Metrics.finished(e)
	d.commandLog(&e.Command).Info("command finished",
		"state", string(e.State), "reason", e.Reason, "attempts", e.Attempts,
		"took", e.FinishedAt.Sub(e.Created).Round(time.Millisecond))
}
