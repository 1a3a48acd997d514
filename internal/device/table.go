package device

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
)

// tableParts is into how many parts a table is divided, each with a lock of its own.
const tableParts = 64

// table holds devices by their keys: those that somebody holds, and so many of the others that all are no more than its
// size. Of those the least recently used goes first.
type table struct {
	seed  maphash.Seed
	parts [tableParts]part
}

type part struct {
	mu      sync.Mutex
	size    int
	devices map[string]*Device
	unheld  Device // of its neighbours, next is the one used last
}

func newTable(size int) *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.parts {
		p := &t.parts[i]
		p.size, p.devices = max(1, size/tableParts), make(map[string]*Device)
		p.unheld.prev, p.unheld.next = &p.unheld, &p.unheld
	}
	return t
}

func (t *table) part(key string) *part { return &t.parts[t.place(key)] }

// place is the number of the part that the key is in.
func (t *table) place(key string) int { return int(maphash.String(t.seed, key) % tableParts) }

// hold returns the key's device, a new one of make if there is none. first says that nobody else holds it; evicted is
// the one that had to go for it, or nil.
func (t *table) hold(key string, make func() *Device) (d *Device, first bool, evicted *Device) {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	d = p.devices[key]
	if d == nil {
		d = make()
		p.devices[key] = d
		evicted = p.evict()
	} else if d.held == 0 {
		d.unlink()
	}
	d.held++
	return d, d.held == 1, evicted
}

// release gives back what hold returned. evicted is the device that had to go, or nil.
func (t *table) release(d *Device) (evicted *Device) {
	p := t.part(d.key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.held--; d.held > 0 {
		return nil
	}
	d.prev, d.next = &p.unheld, p.unheld.next
	d.prev.next, d.next.prev = d, d
	return p.evict()
}

// evict takes out the device that nobody has held for longest, if there are too many.
func (p *part) evict() *Device {
	oldest := p.unheld.prev
	if len(p.devices) <= p.size || oldest == &p.unheld {
		return nil
	}
	oldest.unlink()
	delete(p.devices, oldest.key)
	return oldest
}

func (d *Device) unlink() {
	d.prev.next, d.next.prev = d.next, d.prev
	d.prev, d.next = nil, nil
}

// find is the key's device, or nil.
func (t *table) find(key string) *Device {
	p := t.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.devices[key]
}

// len is how many devices there are.
func (t *table) len() (n int) {
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		n += len(p.devices)
		p.mu.Unlock()
	}
	return n
}

// all are the devices, those of one part after those of another. No lock is held meanwhile.
func (t *table) all() iter.Seq[*Device] { return t.from(0) }

// from is all, from a part on and around.
func (t *table) from(place int) iter.Seq[*Device] {
	return func(yield func(*Device) bool) {
		var devices []*Device
		for i := range t.parts {
			p := &t.parts[(place+i)%tableParts]
			devices = devices[:0]
			p.mu.Lock()
			devices = slices.Grow(devices, len(p.devices))
			for _, d := range p.devices {
				devices = append(devices, d)
			}
			p.mu.Unlock()
			for _, d := range devices {
				if !yield(d) {
					return
				}
			}
		}
	}
}
