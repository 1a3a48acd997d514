package device

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// claimedSuffix follows the IMEI in the key of a device that only datagrams claim to come from. No IMEI has a slash.
const claimedSuffix = "/udp"

// Device is what is known of one device. Whoever holds it calls Release in the end.
type Device struct {
	memory  *Memory
	key     string // the IMEI, with claimedSuffix if nobody vouches for it
	meaning *meaning.Device
	used    atomic.Int64 // when it was last held, in ns since 1970
	track   track

	// Under the lock of the table's part that the device is in.
	held int
	prev *Device // nobody holds it: its neighbours in the order of use
	next *Device

	mu       sync.Mutex                      // taken for what is rarely said, never for a record
	said     unique.Handle[meaning.Identity] // zero if it has said nothing
	saidHere bool                            // to this process, and not saved yet
	loading  bool                            // the store is yet to say what it knows
	waits    bool                            // the keeper has yet to ask it
	asked    int                             // how often the service has asked for the model
	revision uint64                          // another one whenever said or asked has changed
	loadedAt moment                          // when it was last asked for that; 0 if it never was
	looked   version                         // nothing of this version is to be saved
	kept     uint64                          // a hash of what the store has; 0 if it has nothing
	savedAt  moment
}

// version tells whether there may be anything new to save.
type version struct {
	meaning, device uint64
	presence        revision
}

// Meaning is what records are read with.
func (d *Device) Meaning() *meaning.Device {
	if d == nil {
		return nil
	}
	return d.meaning
}

// Await waits until the store has said what it knows of the device, or fails, or until ctx ends. It is for those who
// may wait: a session does not.
func (d *Device) Await(ctx context.Context) error {
	for d != nil && d.isLoading() {
		if f := d.memory.keeper.loads.Failure(); f != nil {
			return f.Err
		}
		if !backoff.Pause(ctx, awaitPause) {
			return ctx.Err()
		}
	}
	return nil
}

// awaitPause is between two looks of Await.
const awaitPause = 10 * time.Millisecond

// imei is the device's IMEI.
func (d *Device) imei() string { return strings.TrimSuffix(d.key, claimedSuffix) }

// claimed reports whether nobody vouches for the IMEI.
func (d *Device) claimed() bool { return len(d.key) != len(d.imei()) }

// identify puts in force what the map and the device itself say.
func (d *Device) identify() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.identifyLocked()
}

func (d *Device) identifyLocked() {
	mapped, _ := meaning.ParseIdentity(d.memory.models.Load().Of(d.imei()))
	d.meaning.Identify(meaning.Identify(mapped, d.saidLocked()))
}

// saidLocked is what the device has said of itself. It is called with mu held.
func (d *Device) saidLocked() meaning.Identity {
	if d.said == (unique.Handle[meaning.Identity]{}) {
		return meaning.Identity{}
	}
	return d.said.Value()
}

// say notes what the device has said of itself, and reports whether that is news.
func (d *Device) say(i meaning.Identity) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saidLocked() == i {
		return false
	}
	d.said, d.saidHere = unique.Make(i), true
	d.revision++
	d.identifyLocked()
	return true
}

// knowsModel reports whether the map or the device itself has said which model it is.
func (d *Device) knowsModel() bool { return d.meaning.Current().Model() != "" }

// dueForLoad reports whether the store is to be asked for the device now, and notes that it is: the first time, and
// where others save devices too again after some time.
func (d *Device) dueForLoad(now time.Time, shared bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits || d.loadedAt != 0 && (!shared || d.loadedAt.age(now) < loadAgain) {
		return false
	}
	d.waits, d.loadedAt = true, momentOf(now)
	return true
}

// notLoaded takes dueForLoad back: the store is asked at the next login.
func (d *Device) notLoaded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loading, d.waits, d.loadedAt = false, false, 0
}

// isLoading reports whether the store is yet to say what it knows.
func (d *Device) isLoading() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loading
}

// restore takes in what was kept of the device, nil for nothing. What it has said here since is newer.
func (d *Device) restore(k *Kept) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loading, d.waits = false, false
	if k == nil {
		return
	}
	d.restorePresence(k.Presence)
	var e meaning.Evidence
	if e.UnmarshalBinary(k.Evidence) == nil { // one of another version is learnt anew
		d.meaning.Restore(e)
	}
	if k.Model != "" && !d.saidHere && len(k.Model) <= meaning.MaxModel && len(k.Firmware) <= meaning.MaxModel {
		d.said = unique.Make(meaning.Identity{Model: k.Model, Firmware: k.Firmware, By: meaning.ByGetver})
	}
	d.asked = max(d.asked, k.Asked)
	d.identifyLocked()
	d.kept = k.hash() // and saved again by and by, or it would expire
}

// version is called with mu held.
func (d *Device) version(now time.Time) version {
	return version{d.meaning.Revision(), d.revision, d.presenceRevision(now)}
}

// news is what is to be saved of the device, if there is anything: what is new, and what was last saved long ago. What
// is only counted is no news for a while. Nothing is saved before the store has said what it knows.
func (d *Device) news(now time.Time) (k Kept, v version, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v = d.version(now)
	age := d.savedAt.age(now)
	again := d.kept != 0 && age >= saveAgain && momentOf(time.Unix(0, d.used.Load())) > d.savedAt
	counted := v.presence.any != d.looked.presence.any && age >= saveCounts
	present := v.presence.state != d.looked.presence.state || counted || again
	learnt := v.meaning != d.looked.meaning || v.device != d.looked.device
	if d.loading || !present && !learnt {
		return k, v, false
	}
	k = d.keep(now)
	if !present && k.hash() == d.kept {
		d.looked.meaning, d.looked.device = v.meaning, v.device
		return k, v, false
	}
	return k, v, true
}

// keep is what is worth keeping. It is called with mu held.
func (d *Device) keep(now time.Time) Kept {
	said := d.saidLocked()
	k := Kept{IMEI: d.key, Model: said.Model, Firmware: said.Firmware, Asked: d.asked}
	if evidence, _, _ := d.meaning.State(); len(evidence.Pairs()) > 0 || evidence.NewScale() {
		k.Evidence, _ = evidence.MarshalBinary()
	}
	if p, _ := d.viewWith(k.Firmware, now); !p.FirstSeen.IsZero() {
		k.Presence = &p
	}
	return k
}

// saved notes what of the device was saved.
func (d *Device) saved(k *Kept, v version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looked, d.kept, d.savedAt = v, k.hash(), momentOf(time.Now())
	if v.device == d.revision {
		d.saidHere = false
	}
	d.presenceKept(k.Presence)
}

// parseGetver is the identity of an answer to getver, if it is one of this device.
func parseGetver(imei string, answer []byte) (meaning.Identity, bool) {
	i, named, ok := meaning.ParseGetver(string(answer))
	return i, ok && (named == "" || slices.Contains([]string{imei, strings.TrimLeft(imei, "0")}, named))
}
