package device

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Find is Presence, of all processes that share the store. If the store does not answer it returns what is known here,
// and the error.
func (m *Memory) Find(ctx context.Context, imei string) (p Presence, known bool, err error) {
	if m == nil {
		return Presence{}, false, nil
	}
	now := time.Now()
	found := []sighting{m.sight(imei, now), m.sight(imei+claimedSuffix, now)}
	err = m.complete(ctx, found, now)
	p, known = m.combine(imei, found[0].Presence, found[0].known(), found[1].Presence, found[1].known())
	return p, known, err
}

// complete takes in what the store knows.
func (m *Memory) complete(ctx context.Context, found []sighting, now time.Time) error {
	if m.Store == nil {
		return nil
	}
	err := m.findKept(ctx, found)
	for i := range found {
		found[i].settle()
	}
	return first(err, m.markLost(ctx, found, now))
}

// sighting is what is known of the device of a key: here, and by the store.
type sighting struct {
	Presence
	key  string
	here bool // it is connected to this process
	kept *Presence
}

// sight is what is known here.
func (m *Memory) sight(key string, now time.Time) sighting {
	s := sighting{key: key}
	t := m.devices
	if s.isClaimed() {
		t = m.claimed
	}
	if d := t.find(key); d != nil {
		s.Presence, s.here = d.view(now)
	}
	return s
}

func (s *sighting) known() bool { return !s.FirstSeen.IsZero() }

// settle decides which of the two counts: the newer one.
func (s *sighting) settle() {
	if s.here || s.kept == nil {
		return
	}
	if !s.known() || s.Connected || s.kept.latest().After(s.latest()) { // connected: elsewhere, when it was loaded
		imei, claimed := strings.CutSuffix(s.key, claimedSuffix)
		s.Presence = *s.kept
		s.IMEI, s.Claimed = imei, claimed // whatever others may have written there
	}
}

// findKept asks the store for those that it was not asked for yet.
func (m *Memory) findKept(ctx context.Context, found []sighting) error {
	keys := make([]string, 0, len(found))
	at := make(map[string]int, len(found))
	for i := range found {
		if f := &found[i]; !f.here && f.kept == nil {
			keys = append(keys, f.key)
			at[f.key] = i
		}
	}
	if len(keys) == 0 {
		return nil
	}
	kept, err := m.Store.Load(ctx, keys)
	for i := range kept {
		if k := &kept[i]; k.Presence != nil {
			found[at[k.IMEI]].kept = k.Presence
		}
	}
	return err
}

// markLost finds those that are said to be connected to a process that is dead.
func (m *Memory) markLost(ctx context.Context, found []sighting, now time.Time) error {
	isElsewhere := func(s sighting) bool { return s.Connected && !s.here }
	if !slices.ContainsFunc(found, isElsewhere) {
		return nil
	}
	heard, err := m.Store.Heard(ctx)
	if err != nil {
		return err
	}
	for i := range found {
		if f := &found[i]; isElsewhere(*f) && !m.lives(f.Run(), heard) {
			f.lose(heard, now)
		}
	}
	return nil
}

// lives reports whether another process than this one may live: not an earlier one of this instance, and none where the
// store is this process's alone.
func (m *Memory) lives(run string, heard map[string]time.Duration) bool {
	age, known := heard[run]
	return known && age < 3*beatEvery && m.Store.Shared() && instanceOf(run) != m.Instance
}

// lose notes that the process has died that the device was connected to.
func (p *Presence) lose(heard map[string]time.Duration, now time.Time) {
	p.Connected, p.InstanceLost = false, p.LastSeen
	if age, known := heard[p.Run()]; known {
		p.InstanceLost = Time{now.Add(-age)}
	}
}

// first is the first error.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
