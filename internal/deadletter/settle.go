package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
)

// ErrNotRemoved is in the chain of Settle's error when all of the dead letter is stored and it could not be removed.
var ErrNotRemoved = errors.New("stored, but not removed")

// Settle replays the dead letter and removes it from the store. Without a Publisher it only tries. After an error it
// is still there; see Replay and ErrNotRemoved.
func (r *Replayer) Settle(ctx context.Context, s engine.DeadLetterStore, l *Letter) (publish.Outcome, error) {
	outcome, err := r.Replay(l)
	if err != nil || r.Publisher == nil {
		return outcome, err
	}
	if err := s.RemoveDeadLetters(ctx, []string{l.Ref}); err != nil {
		return outcome, fmt.Errorf("%w: %w", ErrNotRemoved, err)
	}
	return outcome, nil
}

// ErrUnknown says that there is no dead letter of that ref.
var ErrUnknown = errors.New("there is no such dead letter")

// Desk is where dead letters are worked with one by one while the service runs. Many goroutines may use it.
type Desk struct {
	Store    engine.DeadLetterStore
	Replayer Replayer // with a Publisher

	replaying sync.Mutex
}

// Each calls fn with the dead letters that are selected; see [Selection].
func (d *Desk) Each(ctx context.Context, s Selection, fn func(Letter) error) error {
	_, err := s.Each(ctx, d.Store, fn)
	return err
}

// Find returns the dead letter of that ref, or ErrUnknown. Its frame is a copy.
func (d *Desk) Find(ctx context.Context, ref string) (found Letter, err error) {
	missing, err := Selection{Refs: []string{ref}}.Each(ctx, d.Store, func(l Letter) error {
		found = l
		found.Frame = append([]byte(nil), l.Frame...)
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = ErrUnknown
	}
	return found, err
}

// Replay publishes what is in the dead letter and removes it; see [Replayer.Settle]. One at a time is replayed.
func (d *Desk) Replay(ctx context.Context, ref string) (publish.Outcome, error) {
	d.replaying.Lock()
	defer d.replaying.Unlock()
	l, err := d.Find(ctx, ref) // only now: another one may just have replayed it
	if err != nil {
		return publish.Outcome{}, err
	}
	return d.Replayer.Settle(ctx, d.Store, &l)
}

// Remove removes the dead letter without publishing it, and returns it as it was.
func (d *Desk) Remove(ctx context.Context, ref string) (Letter, error) {
	l, err := d.Find(ctx, ref)
	if err != nil {
		return l, err
	}
	return l, d.Store.RemoveDeadLetters(ctx, []string{ref})
}
