package publish

import "time"

const (
	// recentWindow is how long a stored record is known again, at least: between one and two windows.
	recentWindow = 10 * time.Minute
	// recentLimit bounds the records known by all lanes together. A publisher that stores more than half of
	// it within the window forgets sooner.
	recentLimit = 8 << 20
	// fewer is how many times fewer dead letters and messages are known than records.
	fewer = 64
	// sharedRecent is which part as many again are known of frames of a share, one in so many.
	sharedRecent = 4
)

// memory is what a lane stored lately. What came in frames of a share is kept apart, so that however much of it there is,
// it pushes out nothing of the others.
type memory struct{ own, shared recent }

func newMemory(limit int) memory {
	return memory{own: recent{limit: limit / 2}, shared: recent{limit: limit / 2 / sharedRecent}}
}

func (m *memory) forget() {
	m.own.forget()
	m.shared.forget()
}

func (m *memory) rotate(now time.Time) {
	m.own.rotate(now)
	m.shared.rotate(now)
}

func (m *memory) touch(keys []key) uint64 { return m.own.touch(keys) + m.shared.touch(keys) }

// add reports whether the frame's key is new, and keeps it, in one of the sets only: remove has to find all of it.
func (m *memory) add(f *Frame, k key) bool {
	set, other := &m.own, &m.shared
	if f.share != nil {
		set, other = other, set
	}
	return !other.has(k) && set.add(k)
}

func (m *memory) remove(k key) {
	m.own.remove(k)
	m.shared.remove(k)
}

// recent is a set of what was stored lately. It has two generations: new keys go into the younger one,
// and when that is a window old, or full, the older one is dropped.
type recent struct {
	young, old keySet
	since      time.Time // when the younger generation began
	limit      int       // keys of one generation
}

// rotate drops the older generation if the younger one has had its time.
func (r *recent) rotate(now time.Time) {
	if r.since.IsZero() {
		r.since = now
	}
	if now.Sub(r.since) < recentWindow && r.young.count < r.limit {
		return
	}
	r.young, r.old = r.old, r.young
	r.young.reset()
	r.since = now
}

// forget forgets everything.
func (r *recent) forget() {
	r.young.reset()
	r.old.reset()
}

// touch reads where the keys belong. A set of millions lies in no cache, and reading the places of a whole frame at
// once lets the processor wait for all of them together instead of for one after the other.
func (r *recent) touch(keys []key) (sum uint64) {
	for _, s := range []*keySet{&r.young, &r.old} {
		if s.count == 0 {
			continue
		}
		for _, k := range keys {
			sum += s.slots[s.home(k.normal())].hash
		}
	}
	return sum
}

// add reports whether the key is new, and keeps it. A key that is asked for again stays young.
func (r *recent) add(k key) bool {
	if !r.young.add(k) {
		return false
	}
	return !r.old.has(k)
}

func (r *recent) has(k key) bool { return r.young.has(k) || r.old.has(k) }

// remove forgets a key that turned out not to be stored.
func (r *recent) remove(k key) {
	r.young.remove(k)
	r.old.remove(k)
}

// keySet is a hash set with open addressing and linear probing; the keys' places are hashes already, with a secret.
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
