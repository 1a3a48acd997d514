package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	closeWait = 5 * time.Second        // for work that is still running at Close
	lastWord  = 100 * time.Millisecond // for work's own answer once its context has ended
)

// ErrNoAnswer is in the chain of an error that says that work was left behind: whether it has an effect is open.
var ErrNoAnswer = errors.New("no answer from the disk")

// Turns lend one connection to one piece of work at a time. SQLite has one writer at a time anyway, and a second
// connection of the same process would have to be closed together with the first whenever the file is replaced.
type Turns[C any] struct {
	path string
	free chan C      // holds the connection while nobody works with it
	work chan func() // for the worker; whoever has the connection finds room
	once sync.Once   // starts the worker
}

// NewTurns returns the turns of the connection c to the file.
func NewTurns[C any](path string, c C) *Turns[C] {
	t := &Turns[C]{path: path, free: make(chan C, 1), work: make(chan func(), 1)}
	t.free <- c
	return t
}

// run is the worker, until Close. It is one goroutine for all work: SQLite needs a deep stack, which a new one would
// have to grow each time.
func (t *Turns[C]) run() {
	for work := range t.work {
		work()
	}
}

// Take waits for the connection. Use or Give gives it back.
func (t *Turns[C]) Take(ctx context.Context) (c C, err error) {
	if ctx.Err() == nil {
		select {
		case c = <-t.free:
			return c, nil
		case <-ctx.Done():
		}
	}
	return c, fmt.Errorf("%s: an earlier write is still running: %w", t.path, context.Cause(ctx))
}

// Give gives back what Take took.
func (t *Turns[C]) Give(c C) { t.free <- c }

// Use works with the connection taken and gives it back. When ctx ends it leaves the work behind, because a disk that
// hangs cannot be interrupted; so work must not use its caller's memory.
func Use[C, T any](ctx context.Context, t *Turns[C], c C, work func(C) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	t.once.Do(func() { go t.run() })
	t.work <- func() {
		value, err := work(c)
		t.Give(c)
		done <- outcome{value, err}
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.value, o.err
	case <-time.After(lastWord):
		var none T
		return none, fmt.Errorf("%s: %w: %w", t.path, ErrNoAnswer, context.Cause(ctx))
	}
}

// Close takes the connection for good and closes it. It waits a few seconds for work that is still running, and leaves
// it behind if the disk does not answer.
func (t *Turns[C]) Close(closing func(C) error) error {
	select {
	case c := <-t.free:
		close(t.work)
		return closing(c)
	case <-time.After(closeWait):
		return fmt.Errorf("close %s: a write has not ended within %v", t.path, closeWait)
	}
}
