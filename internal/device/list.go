package device

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query says which devices a list is of: so many of those that come after the cursor, which is empty for the beginning.
type Query struct {
	State State
	After string
	Limit int
	Here  bool // only what is known to this process
}

// List returns the devices of all processes that share the store, by IMEI. What datagrams have done in a device's name
// is a device of its own. next is the cursor of what follows, empty if nothing does; a page may have less than Limit
// all the same. If the store does not answer, the list is of what is known here, and err says why.
func (m *Memory) List(ctx context.Context, q Query) (page []Presence, next string, err error) {
	now := time.Now()
	kept, err := m.listKept(ctx, q)
	keys := slices.AppendSeq(m.keysHere(q, now), maps.Keys(kept))
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) >= q.Limit {
		keys = keys[:q.Limit]
		next = keys[q.Limit-1]
	}
	found := make([]sighting, len(keys))
	for i, key := range keys {
		found[i] = m.sight(key, now)
		found[i].kept = kept[key]
	}
	if !q.Here {
		err = first(err, m.complete(ctx, found, now))
	}
	for i := range found {
		f := &found[i]
		known := f.known()
		if !f.isClaimed() {
			known = m.rejections.addTo(&f.Presence, f.key) || known
		}
		if known && q.State.Has(&f.Presence) {
			page = append(page, f.Presence)
		}
	}
	return page, next, err
}

// listKept is what the store has, by key.
func (m *Memory) listKept(ctx context.Context, q Query) (map[string]*Presence, error) {
	if m.Store == nil || q.Here {
		return nil, nil
	}
	kept, err := m.Store.List(ctx, q.State, q.After, q.Limit)
	byKey := make(map[string]*Presence, len(kept))
	for i := range kept {
		byKey[kept[i].IMEI] = kept[i].Presence
	}
	return byKey, err
}

// keysHere are the first keys of those that are known here, in no order.
func (m *Memory) keysHere(q Query, now time.Time) []string {
	keys := make(lastOnTop, 0, q.Limit)
	for _, t := range []*table{m.devices, m.claimed} {
		for d := range t.all() {
			if keys.takes(d.key, &q) && d.isIn(q.State, now) {
				keys.take(d.key, &q)
			}
		}
	}
	if q.State != StateConnected {
		for _, imei := range m.rejections.imeis() {
			if keys.takes(imei, &q) {
				keys.take(imei, &q)
			}
		}
	}
	return keys
}

// isIn reports whether the device is in the state, as far as is known here.
func (d *Device) isIn(state State, now time.Time) bool {
	t := &d.track
	t.mu.Lock()
	defer t.mu.Unlock()
	d.expire(now)
	return t.presence.firstSeen != 0 && (state == StateAll || t.open == (state == StateConnected))
}

// transport is how the device is connected here, empty if it is not.
func (d *Device) transport(now time.Time) string {
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	if d.expire(now); d.track.open {
		return d.track.presence.transport.String()
	}
	return ""
}

// lastOnTop is a heap of keys: the first ones of those that were taken, and the last of them on top.
type lastOnTop []string

// takes reports whether the key is among the first.
func (k lastOnTop) takes(key string, q *Query) bool {
	return key > q.After && (len(k) < q.Limit || key < k[0])
}

func (k *lastOnTop) take(key string, q *Query) {
	if len(*k) == q.Limit {
		heap.Pop(k)
	}
	heap.Push(k, key)
}

func (k lastOnTop) Len() int           { return len(k) }
func (k lastOnTop) Less(i, j int) bool { return k[i] > k[j] }
func (k lastOnTop) Swap(i, j int)      { k[i], k[j] = k[j], k[i] }
func (k *lastOnTop) Push(key any)      { *k = append(*k, key.(string)) }

// Pop implements heap.Interface.
func (k *lastOnTop) Pop() any {
	last := len(*k) - 1
	key := (*k)[last]
	*k = (*k)[:last]
	return key
}

// isClaimed reports whether the key is that of a device that datagrams claim to come from.
func (s *sighting) isClaimed() bool { return strings.HasSuffix(s.key, claimedSuffix) }
