package command

import (
	"context"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// watchers are the requests that wait for commands, by id.
type watchers struct {
	mu   sync.Mutex
	byID map[string][]chan Entry
}

// watch returns where the command's news arrives until stop is called: always the newest, read or not.
func (w *watchers) watch(id string) (news <-chan Entry, stop func()) {
	c := make(chan Entry, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[id] = append(w.byID[id], c)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		rest := slices.DeleteFunc(w.byID[id], func(other chan Entry) bool { return other == c })
		if w.byID[id] = rest; len(rest) == 0 {
			delete(w.byID, id)
		}
	}
}

// tell tells those who wait how the command is now. It waits for nobody.
func (w *watchers) tell(e Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.byID[e.ID] {
		select {
		case <-c: // what is older
		default:
		}
		c <- e
	}
}

// Await asks the store again after awaitFirst, then after twice as long each time up to awaitMost, if another instance
// may finish the command. It asks after awaitHere if this one does: the device may have moved unnoticed.
const (
	awaitFirst = 50 * time.Millisecond
	awaitMost  = 500 * time.Millisecond
	awaitHere  = 5 * time.Second
)

// Await returns a command when it has its final state, or as it is when ctx ends, with ctx's error. e is the command as
// it was last known.
func (d *Dispatcher) Await(ctx context.Context, e Entry) (Entry, error) {
	news, stop := d.watchers.watch(e.ID)
	defer stop()
	poll := backoff.Backoff{First: awaitFirst, Max: awaitMost}
	for pause := poll.Next(); ; pause = d.recheck(&e, &poll) {
		timer := time.NewTimer(pause)
		select {
		case e = <-news:
			timer.Stop()
			if e.State.Final() {
				return e, nil
			}
			continue
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return e, ctx.Err()
		}
		now, err := d.Store.Lookup(ctx, e.ID)
		switch {
		case err == nil:
			if e = now; e.State.Final() {
				return e, nil
			}
		case ctx.Err() == nil:
			return e, err
		}
	}
}

// recheck is for how long the command's news is waited for before the store is asked.
func (d *Dispatcher) recheck(e *Entry, poll *backoff.Backoff) time.Duration {
	if d.Store.Shared() && !d.inHand(e) {
		return poll.Next()
	}
	return awaitHere
}

// inHand reports whether the command is this instance's, and its device is connected here.
func (d *Dispatcher) inHand(e *Entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[e.IMEI]
	return q != nil && d.connected[e.IMEI].sender != nil && q.has(e.ID)
}
