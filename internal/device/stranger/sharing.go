package stranger

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// Store keeps strangers, for one process or for all that share it: Size of them, those who knocked last.
type Store interface {
	// SaveStrangers keeps some, each by his id, and forgets those of the ids in gone.
	SaveStrangers(ctx context.Context, changed []Kept, gone []string) error
	// LoadStrangers returns those that are kept, in any order.
	LoadStrangers(ctx context.Context) ([]Kept, error)
	// Shared reports whether other processes may save strangers, too.
	Shared() bool
}

// Kept is a stranger as a store has him.
type Kept struct {
	ID   string
	At   time.Time // by which the oldest go
	JSON []byte
}

// How strangers are kept: what is new every second, so many at once.
const (
	saveEvery = time.Second
	saveBatch = 100
	saveRetry = 30 * time.Second
	callTime  = 5 * time.Second
	lastSave  = 2 * time.Second
	askEvery  = time.Second // of the others: a page with many devices asks for each
)

// Sharing is a ring with the strangers of other instances, or of earlier processes.
type Sharing struct {
	*Ring
	store  Store
	logger *slog.Logger
	health health.Health

	asked  sync.Mutex // whoever asks for the others waits for whoever asks already
	others []Stranger // as they were at lastAt
	lastAt time.Time
}

// Share has the ring kept in a store.
func Share(r *Ring, store Store, logger *slog.Logger) *Sharing {
	return &Sharing{Ring: r, store: store, logger: logger}
}

// Run keeps what is new until ctx ends, and then what is left.
func (s *Sharing) Run(ctx context.Context) {
	s.restore(ctx)
	retry := backoff.Backoff{First: saveEvery, Max: saveRetry}
	for pause := saveEvery; backoff.Pause(ctx, pause); {
		if pause = saveEvery; s.save(ctx) != nil {
			pause = retry.Next()
		} else {
			retry.Reset()
		}
	}
	if s.health.Failure() != nil {
		return
	}
	last, cancel := context.WithTimeout(context.Background(), lastSave)
	defer cancel()
	for s.hasNews() && s.save(last) == nil {
	}
}

// restore takes in those that an earlier process has kept, where nobody else keeps any.
func (s *Sharing) restore(ctx context.Context) {
	if s.store.Shared() {
		return
	}
	all, err := s.load(ctx)
	if err != nil {
		return // which has said so
	}
	slices.Reverse(all) // the last one comes last
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range all {
		if _, known := s.entries[keyOf(&all[i])]; !known && len(s.entries) < Size {
			s.add(all[i]).saved = true
		}
	}
}

// load reads what is kept, who knocked last first. What is not written as it should be is nobody.
func (s *Sharing) load(ctx context.Context) (all []Stranger, err error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	kept, err := s.store.LoadStrangers(limited)
	s.note(ctx, "load", err)
	for i := range kept {
		var one Stranger
		if json.Unmarshal(kept[i].JSON, &one) == nil && len(one.First) <= MaxFirst {
			all = append(all, one)
		}
	}
	sortLast(all)
	return all, err
}

// Strangers are those who knocked here or at any other instance, the last one first. After an error those of others are
// missing.
func (s *Sharing) Strangers(ctx context.Context) ([]Stranger, error) {
	all := s.All()
	if !s.store.Shared() {
		return all, nil
	}
	others, err := s.ask(ctx)
	here := make(map[string]bool, len(all))
	for i := range all {
		here[s.id(&all[i])] = true
	}
	for i := range others {
		if !here[s.id(&others[i])] {
			all = append(all, others[i])
		}
	}
	sortLast(all)
	return all[:min(len(all), Size)], err
}

// ask loads those of all instances, unless that was done a moment ago.
func (s *Sharing) ask(ctx context.Context) (_ []Stranger, err error) {
	s.asked.Lock()
	defer s.asked.Unlock()
	if time.Since(s.lastAt) < askEvery {
		return s.others, nil
	}
	all, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	s.others, s.lastAt = all, time.Now()
	return all, nil
}

// id is the stranger's in the store: where it is shared each instance has its own.
func (s *Sharing) id(one *Stranger) string { return s.idAt(keyOf(one), one.Instance) }

func (s *Sharing) idAt(k key, instance string) string {
	if s.store.Shared() {
		return k.id() + " " + instance
	}
	return k.id()
}

// news is what is to be saved.
type news struct {
	changed []Kept
	gone    []string
}

// take takes some of what is new.
func (s *Sharing) take() (n news) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.gone {
		n.gone = append(n.gone, s.idAt(k, s.instance))
	}
	s.gone = nil
	for _, e := range s.entries {
		if !e.unsaved {
			continue
		}
		text, _ := json.Marshal(&e.Stranger) // nothing in it can fail
		n.changed = append(n.changed, Kept{ID: s.id(&e.Stranger), At: e.At, JSON: text})
		e.unsaved, e.saved = false, true
		if len(n.changed) == saveBatch {
			break
		}
	}
	return n
}

// giveBack has what was taken be saved later. Who was to be forgotten is the store's to let go of.
func (s *Sharing) giveBack(n news) {
	ids := make(map[string]bool, len(n.changed))
	for _, k := range n.changed {
		ids[k.ID] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		e.unsaved = e.unsaved || ids[s.id(&e.Stranger)]
	}
}

func (s *Sharing) hasNews() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.unsaved {
			return true
		}
	}
	return false
}

func (s *Sharing) save(ctx context.Context) error {
	n := s.take()
	if len(n.changed) == 0 && len(n.gone) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := s.store.SaveStrangers(limited, n.changed, n.gone)
	if s.note(ctx, "save", err); err != nil {
		s.giveBack(n)
	}
	return err
}

// note logs when the store begins to fail and when it works again.
func (s *Sharing) note(ctx context.Context, call string, err error) {
	switch {
	case ctx.Err() != nil: // our own doing
	case err != nil:
		if _, due := s.health.Failed(err); due {
			s.logger.Warn("strangers are not shared, their store does not work", "call", call, "error", err)
		}
	default:
		if ended := s.health.Worked(); ended != nil {
			s.logger.Info("strangers are shared again", "after", ended.Lasted(), "failures", ended.Count)
		}
	}
}
