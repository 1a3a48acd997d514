package device

import (
	"cmp"
	"slices"
	"time"
)

// What is known of a device may come together from several processes: this one has counted since it began, and the
// store has what was saved, here or elsewhere.

// tally is what is counted of a device in all.
type tally struct {
	counts, since     Counts
	logins, takenOver uint64
}

func (p *Presence) tally() tally { return tally{p.Counts, p.Since, p.Logins, p.TakenOver} }

// presenceRevision tells whether there is news of the device's presence.
func (d *Device) presenceRevision(now time.Time) revision {
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	d.expire(now)
	return d.track.changes
}

// presenceKept notes what the store has, nil for nothing.
func (d *Device) presenceKept(p *Presence) {
	if p != nil {
		d.track.mu.Lock()
		d.track.kept = compactTallyOf(p.tally())
		d.track.mu.Unlock()
	}
}

// restorePresence takes in what was kept, nil for nothing. What has happened here since comes on top of it; where that
// cannot be told from what others have counted, the higher number counts.
func (d *Device) restorePresence(k *Presence) {
	if k == nil {
		return
	}
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	t := &d.track
	before := t.kept.tally()
	t.kept = compactTallyOf(k.tally())
	if t.presence.firstSeen == 0 {
		t.presence = compactOf(k)
		return
	}
	p := t.presence.presence()
	p.takeIn(k, before, t.open)
	t.presence = compactOf(&p)
	t.changed(false)
}

// takeIn puts together what is known here and what was kept, of which before was kept when it was last looked at. open
// says that the device is connected here.
func (p *Presence) takeIn(k *Presence, before tally, open bool) {
	here, storedHere := *p, p.LastStored.After(k.LastStored.Time)
	if k.latest().After(p.latest()) && !open {
		*p = *k
	}
	if k.FirstSeen.Before(p.FirstSeen.Time) && !k.FirstSeen.IsZero() {
		p.FirstSeen = k.FirstSeen
	}
	p.Counts = here.Counts.over(before.counts, k.Counts)
	p.Logins = over(here.Logins, before.logins, k.Logins)
	p.TakenOver = over(here.TakenOver, before.takenOver, k.TakenOver)
	p.TakeOvers = lastTakeOvers(here.TakeOvers, k.TakeOvers)
	p.Since, p.LastStored = here.Since, here.LastStored
	if !storedHere {
		p.Since, p.LastStored = here.Since.over(before.since, k.Since), k.LastStored
	}
	if here.LastRecord == nil {
		p.LastRecord = k.LastRecord
	}
	if k.LastError != nil && (here.LastError == nil || here.LastError.At.Before(k.LastError.At.Time)) {
		p.LastError = k.LastError
	}
}

// latest is when something last happened to the device that its connection is known by.
func (p *Presence) latest() time.Time {
	latest := p.LastSeen.Time
	for _, t := range []Time{p.ConnectedAt, p.ClosedAt} {
		if t.After(latest) {
			latest = t.Time
		}
	}
	return latest
}

// over is what has been counted here on top of what is kept now, before which it was kept.
func over(here, before, now uint64) uint64 { return max(here, now+here-min(before, here)) }

func (c Counts) over(before, now Counts) Counts {
	reason := c.RefusedReason
	if reason == "" {
		reason = now.RefusedReason
	}
	return Counts{
		Stored: over(c.Stored, before.Stored, now.Stored), Duplicate: over(c.Duplicate, before.Duplicate, now.Duplicate),
		DeadLettered: over(c.DeadLettered, before.DeadLettered, now.DeadLettered),
		Refused:      over(c.Refused, before.Refused, now.Refused), RefusedReason: reason,
		Messages:    over(c.Messages, before.Messages, now.Messages),
		EmptyFrames: over(c.EmptyFrames, before.EmptyFrames, now.EmptyFrames),
		Repeated:    over(c.Repeated, before.Repeated, now.Repeated),
		WrongCRC:    over(c.WrongCRC, before.WrongCRC, now.WrongCRC),
	}
}

// lastTakeOvers are the last ones of both.
func lastTakeOvers(a, b []TakeOver) []TakeOver {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(a, b TakeOver) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	all = slices.CompactFunc(all, func(a, b TakeOver) bool {
		return a.At.UnixMilli() == b.At.UnixMilli() && a.From == b.From && a.Instance == b.Instance
	})
	return all[max(0, len(all)-maxTakeOvers):]
}
