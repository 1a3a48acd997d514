package publish

import "time"

const (
	// dedupTime is how long a lane knows a stored record again: at least so long, at most twice as long.
	dedupTime = 10 * time.Minute
	// dedupLimit bounds the records that all lanes together know. Half of it within dedupTime, and they forget sooner.
	dedupLimit = 8 << 20
	// fewer divides dedupLimit for dead letters and for messages.
	fewer = 64
	// quotaWindow divides dedupLimit for frames that have a quota. Their keys come on top.
	quotaWindow = 4
)

// dedupWindow is what a lane stored lately. Frames that have a quota have a set of their own: however many they are,
// they push out nothing of the others.
type dedupWindow struct{ own, quota keyWindow }

func newDedupWindow(limit int) dedupWindow {
	return dedupWindow{own: keyWindow{limit: limit / 2}, quota: keyWindow{limit: limit / 2 / quotaWindow}}
}

func (w *dedupWindow) forget() {
	w.own.forget()
	w.quota.forget()
}

func (w *dedupWindow) rotate(now time.Time) {
	w.own.rotate(now)
	w.quota.rotate(now)
}

func (w *dedupWindow) touch(keys []key) uint64 { return w.own.touch(keys) + w.quota.touch(keys) }

// add keeps the frame's key, in one of the sets only, and reports whether it is new.
func (w *dedupWindow) add(f *Frame, k key) bool {
	set, other := &w.own, &w.quota
	if f.quota != nil {
		set, other = other, set
	}
	return !other.has(k) && set.add(k)
}

func (w *dedupWindow) remove(k key) {
	w.own.remove(k)
	w.quota.remove(k)
}

// keyWindow is a set of keys in two generations. New keys go into the younger one. When that is old or full, the older
// one is dropped.
type keyWindow struct {
	young, old keySet
	since      time.Time // when the younger generation began
	limit      int       // keys of one generation
}

// rotate drops the older generation if the younger one has had its time.
func (w *keyWindow) rotate(now time.Time) {
	if w.since.IsZero() {
		w.since = now
	}
	if now.Sub(w.since) < dedupTime && w.young.count < w.limit {
		return
	}
	w.young, w.old = w.old, w.young
	w.young.reset()
	w.since = now
}

// forget forgets everything.
func (w *keyWindow) forget() {
	w.young.reset()
	w.old.reset()
}

// touch reads the places of all keys. A set of millions lies in no cache: this way the processor waits for the places
// of a whole frame together.
func (w *keyWindow) touch(keys []key) (sum uint64) {
	for _, s := range []*keySet{&w.young, &w.old} {
		if s.count == 0 {
			continue
		}
		for _, k := range keys {
			sum += s.slots[s.home(k.normal())].hash
		}
	}
	return sum
}

// add keeps the key and reports whether it is new. A key that is asked for again stays young.
func (w *keyWindow) add(k key) bool {
	if !w.young.add(k) {
		return false
	}
	return !w.old.has(k)
}

func (w *keyWindow) has(k key) bool { return w.young.has(k) || w.old.has(k) }

// remove forgets a key whose item is not stored after all.
func (w *keyWindow) remove(k key) {
	w.young.remove(k)
	w.old.remove(k)
}

// keySet is a hash set with open addressing and linear probing. The keys' places are hashes already, with a secret.
type keySet struct {
	slots []key // a power of two, at most three quarters full; the zero key marks a free one
	count int
}

const minSlots = 1 << 10

// normal maps the zero key, which marks free slots, to another one.
func (k key) normal() key {
	if k == (key{}) {
		return key{hash: 1}
	}
	return k
}

func (s *keySet) home(k key) int { return int(k.place & uint64(len(s.slots)-1)) }

// find returns the slot of the key, or the free one where it belongs.
func (s *keySet) find(k key) (slot int, found bool) {
	for i := s.home(k); ; i = (i + 1) & (len(s.slots) - 1) {
		switch s.slots[i] {
		case k:
			return i, true
		case key{}:
			return i, false
		}
	}
}

func (s *keySet) has(k key) bool {
	if s.count == 0 {
		return false
	}
	_, found := s.find(k.normal())
	return found
}

func (s *keySet) add(k key) bool {
	if 4*(s.count+1) > 3*len(s.slots) {
		s.grow()
	}
	k = k.normal()
	slot, found := s.find(k)
	if !found {
		s.slots[slot] = k
		s.count++
	}
	return !found
}

func (s *keySet) grow() {
	old := s.slots
	s.slots = make([]key, max(minSlots, 2*len(old)))
	for _, k := range old {
		if k != (key{}) {
			slot, _ := s.find(k)
			s.slots[slot] = k
		}
	}
}

// remove frees the key's slot and moves those behind it up, so that no probe ends early.
func (s *keySet) remove(k key) {
	if s.count == 0 {
		return
	}
	free, found := s.find(k.normal())
	if !found {
		return
	}
	s.count--
	mask := len(s.slots) - 1
	for i := (free + 1) & mask; s.slots[i] != (key{}); i = (i + 1) & mask {
		// A key may move up to free if its home is not between the two.
		if (i-s.home(s.slots[i]))&mask >= (i-free)&mask {
			s.slots[free] = s.slots[i]
			free = i
		}
	}
	s.slots[free] = key{}
}

func (s *keySet) reset() { *s = keySet{} }
