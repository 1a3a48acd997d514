package stranger

import (
	"cmp"
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// What is kept: the strangers who knocked last, and of one address so many different ones. Those whose bytes hold an
// IMEI have half of the room for themselves, for they are devices that somebody looks for. Anybody can send a datagram
// from any address, so datagrams have little room.
const (
	Size         = 1000
	maxOfAddress = 10
	maxDatagrams = 200
)

// newsEvery is how often a stranger who comes back in the same way is news again.
const newsEvery = time.Hour

// Ring keeps the last strangers. Many goroutines may use it; a nil one keeps none.
type Ring struct {
	// Watch is told of each knock, unless it is nil. It is set before the first one, and must not wait.
	Watch func(Stranger)

	instance string

	mu      sync.Mutex
	entries map[key]*entry
	of      map[netip.Addr][]*entry // the one that came first in front
	classes [classes]list.List      // of *entry, the last one in front
	gone    []key                   // whom a store is to forget
}

// key tells strangers apart: who comes back in the same way is the same.
type key struct {
	network netip.Addr
	door    Door
	cause   Cause
	imei    string
}

type entry struct {
	Stranger
	key
	class   int
	element *list.Element
	newsAt  time.Time
	unsaved bool // what is new is not in the store
	saved   bool // the store has him, as he is now or was
}

// The classes that strangers go by when there is no room.
const (
	nameless = iota
	named    // with an IMEI
	datagram
	classes
)

// NewRing returns a ring of the instance's strangers.
func NewRing(instance string) *Ring {
	return &Ring{instance: instance, entries: make(map[key]*entry), of: make(map[netip.Addr][]*entry)}
}

// Knock takes down that somebody knocked, and returns what that means. news says that he did not within the last hour,
// not in this way: it is worth a line in the log that is written for nobody else.
func (r *Ring) Knock(k Knock) (s Stranger, news bool) {
	s = k.diagnose(time.Now())
	if r == nil {
		return s, true
	}
	if s.Instance = r.instance; r.Watch != nil {
		r.Watch(s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[keyOf(&s)]
	if e == nil {
		e = r.add(s)
	} else {
		s.FirstAt, s.Count = e.FirstAt, e.Count+1
		e.Stranger = s
		r.classes[e.class].MoveToFront(e.element)
	}
	e.unsaved = true
	if news = s.At.Sub(e.newsAt).Abs() >= newsEvery; news {
		e.newsAt = s.At
	}
	return s, news
}

// id is the stranger's in a store.
func (k key) id() string {
	return k.network.String() + " " + string(k.door) + " " + string(k.cause) + " " + k.imei
}

func keyOf(s *Stranger) key { return key{networkOf(s.Address), s.Door, s.Cause, s.IMEI} }

// networkOf is who has the address.
func networkOf(address string) netip.Addr {
	a, _ := netip.ParseAddrPort(address)
	return limit.Network(a.Addr())
}

func classOf(s *Stranger) int {
	switch {
	case s.Door == DoorUDP:
		return datagram
	case s.IMEI != "":
		return named
	}
	return nameless
}

// add makes room and takes in a stranger who is new. The lock is held.
func (r *Ring) add(s Stranger) *entry {
	e := &entry{Stranger: s, key: keyOf(&s), class: classOf(&s)}
	if same := r.of[e.network]; len(same) >= maxOfAddress {
		r.remove(same[0])
	}
	if datagrams := &r.classes[datagram]; e.class == datagram && datagrams.Len() >= maxDatagrams {
		r.remove(datagrams.Back().Value.(*entry))
	}
	if len(r.entries) >= Size {
		r.remove(r.first())
	}
	e.element = r.classes[e.class].PushFront(e)
	r.entries[e.key] = e
	r.of[e.network] = append(r.of[e.network], e)
	return e
}

// first is who goes for another: of those with an IMEI only if they have more than half.
func (r *Ring) first() *entry {
	class := &r.classes[named]
	if class.Len() <= Size/2 {
		if class = &r.classes[nameless]; class.Len() == 0 {
			class = &r.classes[datagram]
		}
	}
	return class.Back().Value.(*entry)
}

func (r *Ring) remove(e *entry) {
	delete(r.entries, e.key)
	r.classes[e.class].Remove(e.element)
	if same := slices.DeleteFunc(r.of[e.network], func(o *entry) bool { return o == e }); len(same) > 0 {
		r.of[e.network] = same
	} else {
		delete(r.of, e.network)
	}
	if e.saved && len(r.gone) < Size { // the store lets go of what it is not told about
		r.gone = append(r.gone, e.key)
	}
}

// All are the strangers, who knocked last first.
func (r *Ring) All() []Stranger {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	all := make([]Stranger, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e.Stranger)
	}
	r.mu.Unlock()
	sortLast(all)
	return all
}

func sortLast(all []Stranger) {
	slices.SortFunc(all, func(a, b Stranger) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Cause, b.Cause))
	})
}
