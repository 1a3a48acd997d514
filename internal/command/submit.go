package command

import (
	"context"
	"fmt"
)

// Submit takes a new command, complete and valid, for a device wherever it is. source says in the log who sent it. The
// error may be a [RefusedError].
func (d *Dispatcher) Submit(ctx context.Context, c Command, source string) (e Entry, created bool, err error) {
	if err := d.refuses(&c); err != nil {
		if e, lookup := d.Store.Lookup(ctx, c.ID); lookup == nil {
			return e, false, nil // taken before
		}
		d.Logger.Warn("command refused", "id", c.ID, "imei", c.IMEI, "command", Name(c.Payload), "source", source,
			"reason", string(err.Reason))
		return Entry{}, false, err
	}
	if e, created, err = d.Store.Submit(ctx, c); err == nil && created {
		d.auditLog.Info("command accepted", "id", c.ID, "imei", c.IMEI, "command", Name(c.Payload), "codec", c.Codec.String(),
			"source", source)
	}
	return e, created, err
}

// refuses says why a command is not taken: it would fail.
func (d *Dispatcher) refuses(c *Command) *RefusedError {
	switch r := d.policy.Load().Evaluate(c.Payload); {
	case r.Effect == Deny:
		return &RefusedError{RefusedDenied, fmt.Sprintf("the policy denies it: %s", r.because())}
	case r.Effect == Confirm && !c.Confirm:
		return &RefusedError{RefusedConfirm, fmt.Sprintf("the policy asks for confirmation: %s", r.because())}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[c.IMEI]; q != nil && len(q.entries) == maxQueued {
		return &RefusedError{RefusedQueue, tooManyWait}
	}
	return nil
}

// denies says why the present policy does not let the command be sent, or nothing.
func (d *Dispatcher) denies(e *Entry) string {
	switch r := d.policy.Load().Evaluate(e.Payload); {
	case r.Effect == Deny:
		return "denied by policy: " + r.because()
	case r.Effect == Confirm && !e.Confirm:
		return "not confirmed, as the policy asks for: " + r.because()
	}
	return ""
}

// Lookup returns a command, or ErrUnknown.
func (d *Dispatcher) Lookup(ctx context.Context, id string) (Entry, error) {
	return d.Store.Lookup(ctx, id)
}

// Cancel takes a command back if it is still queued, and returns it as it is then.
func (d *Dispatcher) Cancel(ctx context.Context, id string) (Entry, error) {
	before, err := d.Store.Lookup(ctx, id)
	if err != nil || before.State.Final() {
		return before, err
	}
	e, err := d.Store.Cancel(ctx, id)
	if err == nil && e.State == Cancelled {
		d.finished(&e)
	}
	return e, err
}
