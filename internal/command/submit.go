package command

import (
	"context"
	"errors"
	"fmt"
)

// Submit takes a new command, complete and valid, for a device wherever it is. source says in the log who sent it. The
// error may be a [RefusedError].
func (d *Dispatcher) Submit(ctx context.Context, c Command, source string) (e Entry, created bool, err error) {
	e, created, err = d.submit(ctx, c)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		d.Logger.Warn("command refused", "id", c.ID, "imei", c.IMEI, "command", Name(c.Payload), "source", source,
			"reason", string(refused.Reason))
	case err == nil && created:
		d.commandLog(&c).Info("command accepted", "source", source)
	}
	return e, created, err
}

func (d *Dispatcher) submit(ctx context.Context, c Command) (e Entry, created bool, err error) {
	refusal := d.refuses(ctx, &c)
	if refusal == nil {
		return d.Store.Submit(ctx, c)
	}
	if e, err := d.Store.Lookup(ctx, c.ID); err == nil {
		return e, false, nil // taken before
	}
	return Entry{}, false, refusal
}

// refuses says why a command is not taken: it would fail.
func (d *Dispatcher) refuses(ctx context.Context, c *Command) *RefusedError {
	switch r := d.policy.Load().Evaluate(c.Payload); {
	case r.Effect == Deny:
		return &RefusedError{RefusedDenied, fmt.Sprintf("the policy denies it: %s", r.because())}
	case r.Effect == Confirm && !c.Confirm:
		return &RefusedError{RefusedConfirm, fmt.Sprintf("the policy asks for confirmation: %s", r.because())}
	case d.Unreachable(ctx, c.IMEI):
		return &RefusedError{RefusedUDP, ReasonUnreachable}
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

// List returns a page of commands.
func (d *Dispatcher) List(ctx context.Context, q Query) (Page, error) { return d.Store.List(ctx, q) }

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
