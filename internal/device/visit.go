package device

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxTakeOvers is how many of the last take-overs are kept of a device.
const maxTakeOvers = 8

// track is what a Device keeps of who is there. Its lock is the device's own.
type track struct {
	mu       sync.Mutex
	presence compact
	visits   uint64 // logins here; the last one is whose connection counts
	open     bool   // that connection is open
	changes  revision
	kept     compactTally // what the store has
}

// revision tells whether there is news: of state, which is saved soon, and of any kind.
type revision struct{ state, any uint64 }

// changed notes news; mu is held.
func (t *track) changed(state bool) {
	t.changes.any++
	if state {
		t.changes.state++
	}
}

// Visit is a connection that the device logs in on.
type Visit struct {
	At        time.Time
	Address   string
	Transport string
	Delay     time.Duration // how long the login had to wait, for LoginBackoff
}

// LoggedIn notes an accepted login. It returns the connection's number, for Left.
func (d *Device) LoggedIn(v Visit) uint64 {
	if d == nil {
		return 0
	}
	t := &d.track
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.presence
	if t.open {
		p.takenOver(v.At, v.Address)
	}
	p.seen(v.At)
	d.memory.sign(p)
	p.connected, p.address = true, v.Address
	p.transport.set(v.Transport)
	p.connectedAt, p.closedAt, p.closeReason = momentOf(v.At), 0, word{}
	p.codec, p.frames, p.records = word{}, 0, 0
	if v.Delay != p.seldom().delay {
		p.rarely().delay = v.Delay
	}
	p.logins++
	t.visits++
	t.open = true
	t.changed(true)
	return t.visits
}

// Left notes the end of a connection, and why. takenOver says that the device has a newer one at another instance, or
// here.
func (d *Device) Left(visit uint64, at time.Time, reason string, takenOver bool) {
	if d == nil {
		return
	}
	t := &d.track
	t.mu.Lock()
	defer t.mu.Unlock()
	if visit != t.visits || !t.open {
		return // a newer one counts
	}
	p := &t.presence
	t.open = false
	p.connected, p.closedAt = false, momentOf(at)
	p.closeReason.set(reason)
	if takenOver {
		p.takenOver(at, "")
	}
	t.changed(true)
}

// Frame is a frame or datagram that was read to its end.
type Frame struct {
	Received     time.Time
	Codec        string
	Acknowledged int // records; less than 0 if it is not acknowledged
}

// Heard notes a frame, when what became of it is known.
func (d *Device) Heard(f Frame) {
	if d == nil {
		return
	}
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	d.track.heard(f)
}

// heard is called with mu held.
func (t *track) heard(f Frame) {
	p := &t.presence
	p.seen(f.Received)
	if f.Acknowledged >= 0 {
		p.codec.set(f.Codec)
		p.frames++
		p.records += uint64(f.Acknowledged)
	}
	if f.Acknowledged == 0 {
		p.each(func(c *Counts) { c.EmptyFrames++ })
	}
	t.changed(false)
}

// HeardFrom notes a datagram, which comes from anywhere.
func (d *Device) HeardFrom(from netip.AddrPort, f Frame) {
	if d == nil {
		return
	}
	t := &d.track
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.presence
	d.expire(f.Received)
	if !t.open {
		p.connectedAt, p.closedAt, p.closeReason = momentOf(f.Received), 0, word{}
		p.frames, p.records = 0, 0
		t.changed(true)
	}
	d.memory.sign(p)
	t.open, p.connected = true, true
	p.transport.set("udp")
	var b [64]byte
	if address := from.AppendTo(b[:0]); string(address) != p.address { // which allocates nothing
		p.address = string(address)
	}
	t.heard(f)
}

// expire has a device that sends datagrams be gone when it has been silent for long. The lock of track is held.
func (d *Device) expire(now time.Time) {
	t := &d.track
	p := &t.presence
	if !t.open || !d.claimed() || now.Sub(p.lastSeen.time().Time) <= d.memory.DatagramIdle {
		return
	}
	t.open = false
	p.connected, p.closedAt = false, p.lastSeen
	p.closeReason.set(closeSilent)
	t.changed(true)
}

// closeSilent is why a device that sends datagrams counts as gone.
const closeSilent = "idle_timeout"

// closeTakenOver is why the connection of a device ended that has a newer one.
const closeTakenOver = "taken_over"

// sign says at which instance the device is: at this one.
func (m *Memory) sign(p *compact) {
	p.process = m.process
	if p.rare != nil {
		p.rare.lost = 0
	}
}

// Outcome is how many records or messages of a frame were stored, and how.
type Outcome struct {
	At                               time.Time
	Stored, Duplicate, Lost, Message int // lost are dead letters
	Last                             LastRecord
}

// Stored notes what was stored.
func (d *Device) Stored(o Outcome) {
	if d == nil {
		return
	}
	t := &d.track
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &t.presence
	p.stored += uint64(o.Stored)
	if o.Duplicate+o.Lost+o.Message > 0 {
		p.each(func(c *Counts) { c.add(o) })
	}
	if o.Stored > 0 {
		p.lastStored = momentOf(o.At)
		if p.rare != nil {
			p.rare.since = Counts{}
		}
	}
	if !o.Last.Timestamp.IsZero() && o.Stored+o.Duplicate > 0 {
		p.last.set(&o.Last)
	}
	t.changed(false)
}

// add counts all but what is stored.
func (c *Counts) add(o Outcome) {
	c.Duplicate += uint64(o.Duplicate)
	c.DeadLettered += uint64(o.Lost)
	c.Messages += uint64(o.Message)
	if o.Stored == 0 && o.Duplicate > 0 {
		c.Repeated++
	}
}

// Refused notes records or messages that the device shall send again.
func (d *Device) Refused(reason string, n int) {
	if d == nil {
		return
	}
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	d.track.presence.each(func(c *Counts) {
		c.Refused += uint64(n)
		c.RefusedReason = reason
	})
	d.track.changed(false)
}

// Failed notes an error. It keeps a copy of what of First and Text it has room for.
func (d *Device) Failed(e Error) {
	if d == nil {
		return
	}
	e.First = slices.Clone(e.First[:min(len(e.First), MaxFirst)])
	e.Text = strings.ToValidUTF8(e.Text[:min(len(e.Text), MaxErrorText)], "")
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	p := &d.track.presence
	if e.Cause == CauseCRC {
		p.each(func(c *Counts) { c.WrongCRC++ })
	}
	last := p.rarely()
	d.track.changed(last.lastError == nil || last.lastError.Cause != e.Cause)
	last.lastError = &e
}

// How often a device's connections end because of newer ones before its logins have to wait.
const (
	contestedTakeOvers = 3
	contestedTime      = time.Minute
)

// Contested reports whether the device has been taking over from itself lately, again and again: so do two devices with
// one IMEI, also at different instances.
func (m *Memory) Contested(imei string, now time.Time) bool {
	if m == nil {
		return false
	}
	d := m.devices.find(imei)
	if d == nil {
		return false
	}
	d.track.mu.Lock()
	defer d.track.mu.Unlock()
	o := d.track.presence.seldom().takeOvers
	if len(o) < contestedTakeOvers {
		return false
	}
	age := now.Sub(o[len(o)-contestedTakeOvers].At.Time)
	return age >= 0 && age < contestedTime
}

func (c *compact) seen(at time.Time) {
	if c.firstSeen == 0 {
		c.firstSeen = momentOf(at)
	}
	c.lastSeen = momentOf(at)
}

// each does the same to both counts.
func (c *compact) each(do func(*Counts)) {
	r := c.rarely()
	do(&r.counts)
	do(&r.since)
}

// takenOver notes that the connection ends because of one from the address by, empty if that is not known.
func (c *compact) takenOver(at time.Time, by string) {
	r := c.rarely()
	r.takenOver++
	r.takeOvers = append(r.takeOvers, TakeOver{At: Time{at}, From: c.address, By: by, Instance: c.at().instance})
	if above := len(r.takeOvers) - maxTakeOvers; above > 0 {
		r.takeOvers = slices.Delete(r.takeOvers, 0, above)
	}
}
