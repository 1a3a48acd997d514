package publish

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// tally collects what was confirmed.
type tally struct {
	mu  sync.Mutex
	ids map[string]bool
}

func newTally() *tally { return &tally{ids: make(map[string]bool)} }

func (s *tally) add(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.ids[id] = true
	}
}

func (s *tally) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.ids))
}

var (
	errBusy    = &engine.Error{Transient: true, Err: errors.New("busy")}
	errLost    = &engine.Error{Transient: true, Ambiguous: true, Err: errors.New("connection lost")}
	errRefused = &engine.Error{Err: errors.New("wrong type")}
)

// failRandomly makes one write in ten fail: before it is written, or for good, or for one item of it.
func failRandomly() func(*engine.Batch) error {
	r := rand.New(rand.NewPCG(7, 7)) // called under the engine's lock
	lost := map[uint64]bool{}
	return func(b *engine.Batch) error {
		switch fault := r.IntN(30); {
		case fault == 0:
			return errBusy
		case fault == 1:
			return errRefused
		case fault == 2:
			if !lost[b.ID] {
				lost[b.ID] = true
				return errLost // nothing written, but the publisher cannot know
			}
		case fault == 3 && b.Len() > 0:
			b.Results[r.IntN(len(b.Results))].Err = errBusy
		case fault == 4 && b.Len() > 0:
			b.Results[r.IntN(len(b.Results))].Err = errRefused
		}
		return nil
	}
}
