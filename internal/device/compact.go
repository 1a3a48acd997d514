package device

import (
	"slices"
	"time"
	"unique"
)

// compact is a Presence without what view adds, in a quarter of its memory: there is one for each device that is
// connected. What is only said of few devices is apart, times are numbers, and texts that many have are there once.
type compact struct {
	process                       unique.Handle[process] // zero if it is not known
	transport, closeReason, codec word
	address                       string
	connectedAt, closedAt         moment
	firstSeen, lastSeen           moment
	lastStored                    moment
	frames, records               uint64
	logins, stored                uint64
	last                          compactRecord
	rare                          *rare // nil if nothing of it is to be said
	connected                     bool
}

// process is a run of an instance.
type process struct {
	instance string
	began    moment
}

// rare is what few devices have.
type rare struct {
	lost          moment        // Presence.InstanceLost
	delay         time.Duration // of the last login
	takenOver     uint64
	takeOvers     []TakeOver
	counts, since Counts // but for what is stored
	lastError     *Error
}

// seldom is what is said of few devices, for reading.
func (c *compact) seldom() rare {
	if c.rare == nil {
		return rare{}
	}
	return *c.rare
}

// rarely is what is said of few devices, for writing.
func (c *compact) rarely() *rare {
	if c.rare == nil {
		c.rare = new(rare)
	}
	return c.rare
}

// presence is what c stands for. Its take-overs and its last record are its own.
func (c *compact) presence() Presence {
	r := c.seldom()
	p := Presence{
		Connected: c.connected, InstanceLost: r.lost.time(), Transport: c.transport.String(), Address: c.address,
		ConnectedAt: c.connectedAt.time(), ClosedAt: c.closedAt.time(), CloseReason: c.closeReason.String(),
		Codec: c.codec.String(), Frames: c.frames, Records: c.records,
		FirstSeen: c.firstSeen.time(), LastSeen: c.lastSeen.time(),
		Login: c.login(r.delay), Logins: c.logins, TakenOver: r.takenOver, TakeOvers: slices.Clone(r.takeOvers),
		Counts: r.counts, Since: r.since, LastStored: c.lastStored.time(), LastRecord: c.last.record(),
		LastError: r.lastError,
	}
	p.Counts.Stored = c.stored
	at := c.at()
	p.Instance, p.InstanceRun = at.instance, at.began.time()
	return p
}

// at is the process that the device is or was connected to.
func (c *compact) at() process {
	if c.process == (unique.Handle[process]{}) {
		return process{}
	}
	return c.process.Value()
}

// login is the last one: that of the connection, since what is kept here is only of those that were accepted.
func (c *compact) login(delay time.Duration) Login {
	if c.logins == 0 {
		return Login{}
	}
	l := Login{At: c.connectedAt.time(), Answer: LoginAccepted, Address: c.address}
	if delay > 0 {
		l.Answer, l.Reason, l.DelayMS = LoginDelayed, LoginBackoff, delay.Milliseconds()
	}
	return l
}

// compactOf is p without what view adds.
func compactOf(p *Presence) compact {
	r := rare{
		lost: momentOf(p.InstanceLost.Time), delay: time.Duration(p.Login.DelayMS) * time.Millisecond,
		takenOver: p.TakenOver, takeOvers: p.TakeOvers, counts: p.Counts, since: p.Since, lastError: p.LastError,
	}
	r.counts.Stored = 0
	c := compact{
		connected: p.Connected, transport: wordOf(p.Transport), address: p.Address,
		connectedAt: momentOf(p.ConnectedAt.Time), closedAt: momentOf(p.ClosedAt.Time),
		closeReason: wordOf(p.CloseReason), codec: wordOf(p.Codec), frames: p.Frames, records: p.Records,
		firstSeen: momentOf(p.FirstSeen.Time), lastSeen: momentOf(p.LastSeen.Time), logins: p.Logins,
		stored: p.Counts.Stored, lastStored: momentOf(p.LastStored.Time), last: compactRecordOf(p.LastRecord),
	}
	if p.Instance != "" {
		c.process = unique.Make(process{p.Instance, momentOf(p.InstanceRun.Time)})
	}
	if !r.isEmpty() {
		c.rare = &r
	}
	return c
}

func (r *rare) isEmpty() bool {
	return r.lost == 0 && r.delay == 0 && r.takenOver == 0 && len(r.takeOvers) == 0 && r.counts == Counts{} &&
		r.since == Counts{} && r.lastError == nil
}

// compactRecord is a LastRecord, if any.
type compactRecord struct {
	timestamp           int64 // ms since 1970
	fix, clock          word
	latitude, longitude int32
	speed               int32
	any                 bool
}

func compactRecordOf(r *LastRecord) (c compactRecord) {
	if r != nil {
		c.set(r)
	}
	return c
}

func (c *compactRecord) set(r *LastRecord) {
	c.timestamp, c.any = r.Timestamp.UnixMilli(), true
	c.fix.set(r.Fix)
	c.clock.set(r.Clock)
	c.latitude, c.longitude, c.speed = r.Latitude, r.Longitude, int32(r.Speed)
}

func (c *compactRecord) record() *LastRecord {
	if !c.any {
		return nil
	}
	return &LastRecord{
		Timestamp: Time{time.UnixMilli(c.timestamp)}, Fix: c.fix.String(), Clock: c.clock.String(),
		Latitude: c.latitude, Longitude: c.longitude, Speed: int(c.speed),
	}
}

// compactTally is a tally: all of it where more has been counted than what was stored, and logins.
type compactTally struct {
	stored, logins uint64
	all            *tally
}

func compactTallyOf(t tally) compactTally {
	c := compactTally{stored: t.counts.Stored, logins: t.logins}
	if c.tally() != t {
		c.all = new(t)
	}
	return c
}

func (c compactTally) tally() tally {
	if c.all != nil {
		return *c.all
	}
	return tally{counts: Counts{Stored: c.stored}, logins: c.logins}
}

// moment is a time in ms since 1970, 0 for none.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixMilli())
}

// age is how long it is ago. A clock that is set back makes it less.
func (m moment) age(now time.Time) time.Duration { return now.Sub(m.time().Time) }

func (m moment) time() Time {
	if m == 0 {
		return Time{}
	}
	return Time{time.UnixMilli(int64(m))}
}

// word is a text that many devices have, such as a transport.
type word struct{ handle unique.Handle[string] }

func wordOf(s string) (w word) {
	w.set(s)
	return w
}

// set looks for the text's one copy only if it is another text.
func (w *word) set(s string) {
	switch {
	case s == w.String():
	case s == "":
		*w = word{}
	default:
		w.handle = unique.Make(s)
	}
}

func (w word) String() string {
	if w == (word{}) {
		return ""
	}
	return w.handle.Value()
}
