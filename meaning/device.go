package meaning

import (
	"sync"
	"sync/atomic"
	"unique"
)

// Device keeps what is known of one device, and the reader that follows from it. It is safe for concurrent use: many
// goroutines may read records while one learns. A record that brings no new pair costs a look at its layout.
type Device struct {
	imei   string
	reader atomic.Pointer[Reader]
	known  [4]atomic.Uint64 // layouts that have been learnt
	next   atomic.Uint32    // the one that the next takes the place of

	mu         sync.Mutex
	dictionary *Dictionary
	identity   unique.Handle[Identity] // which many have in common
	evidence   Evidence
	revision   uint64
}

// NewDevice is a device of which nothing is known.
func NewDevice(d *Dictionary, imei string) *Device {
	v := &Device{imei: imei, dictionary: d, identity: unique.Make(Identity{})}
	v.resolve()
	return v
}

// Layout stands for what a record says about its device's family: ids, widths, and whether a temperature proves a
// scale. Two of the same layout say the same.
type Layout uint64

// NewLayout is the layout of a record without elements.
const NewLayout Layout = 0x9e3779b97f4a7c15

// Add is the layout with one more element.
func (l Layout) Add(id uint16, w Width, number uint64) Layout {
	l = (l + Layout(newPair(id, w))) * 0xff51afd7ed558ccd
	if id-firstScaled <= lastScaled-firstScaled && provesNewScale(id, w, number) {
		l++
	}
	return l
}

// Knows reports whether the device has learnt from a record of this layout lately: another one says nothing new.
func (v *Device) Knows(l Layout) bool {
	for i := range v.known {
		if v.known[i].Load() == uint64(l) {
			return true
		}
	}
	return false
}

// Current is the device's reader as it is.
func (v *Device) Current() *Reader { return v.reader.Load() }

// Learn takes in the elements of a record of this layout, and gives the reader to read it with.
func (v *Device) Learn(l Layout, elements []Element) *Reader {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	for _, el := range elements {
		changed = v.evidence.Add(v.dictionary, el) || changed
	}
	if changed {
		v.revision++
		v.resolve()
	}
	v.known[v.next.Add(1)%uint32(len(v.known))].Store(uint64(l))
	return v.reader.Load()
}

// Restore takes in evidence that was kept from earlier.
func (v *Device) Restore(kept Evidence) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.evidence.Merge(v.dictionary, kept) {
		v.revision++
		v.resolve()
	}
}

// Identify says what is known of the device beside its elements, in place of what was said before.
func (v *Device) Identify(i Identity) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if next := unique.Make(i); v.identity != next {
		v.identity = next
		v.revision++
		v.resolve()
	}
}

// Use goes over to another dictionary: other overrides.
func (v *Device) Use(d *Dictionary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.dictionary != d {
		v.dictionary = d
		v.resolve()
	}
}

// resolve is called with mu held, but for a new device.
func (v *Device) resolve() {
	v.reader.Store(Resolve(v.dictionary, v.imei, v.identity.Value(), &v.evidence))
}

// IMEI is the device's.
func (v *Device) IMEI() string { return v.imei }

// State is what is known of the device: a copy of its evidence, its identity, and a number that is another one whenever
// either has changed.
func (v *Device) State() (Evidence, Identity, uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.evidence.Clone(), v.identity.Value(), v.revision
}

// Revision is State's number.
func (v *Device) Revision() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.revision
}
