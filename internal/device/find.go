package device

import (
	"context"
	"maps"
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

// markLost finds those that are said to be connected to a process that nobody has heard of for long.
func (m *Memory) markLost(ctx context.Context, found []sighting, now time.Time) error {
	elsewhere := make(map[string]bool)
	for i := range found {
		if f := &found[i]; f.Connected && !f.here {
			elsewhere[f.Run()] = true
		}
	}
	if len(elsewhere) == 0 {
		return nil
	}
	heard, err := m.Store.Heard(ctx, slices.Collect(maps.Keys(elsewhere)))
	if err != nil {
		return err
	}
	for i := range found {
		f := &found[i]
		if !f.Connected || f.here {
			continue
		}
		age, known := heard[f.Run()]
		if m.lives(&f.Presence) && known && age < 3*beatEvery {
			continue
		}
		f.Connected, f.InstanceLost = false, f.LastSeen
		if known {
			f.InstanceLost = Time{now.Add(-age)}
		}
	}
	return nil
}

// lives reports whether the process that the device is at may live: not an earlier one of this instance, and no other
// one where the store is this process's alone.
func (m *Memory) lives(p *Presence) bool { return m.Store.Shared() && p.Instance != m.Instance }

// first is the first error.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
