package simulate

import (
	"math/rand/v2"
	"time"
)

// journal is what a device has recorded and not yet put into a frame. The order of its random draws depends on
// nothing but the seed, so a device's records are the same in every run, however they are cut into frames.
type journal struct {
	positions []position // oldest first
	first     int        // positions before it are taken
	rng       rand.PCG
	perFrame  Range
	order     Order
	left      int64         // records still to be recorded; negative = no limit
	interval  time.Duration // between two records; 0 = whenever a frame can be sent
	next      time.Duration // when the next frame's records are recorded, since the run's start
	started   int64         // when the run started, ms since 1970: no record is stamped later than now
	nextCount int           // how many these are, all since the frame before; 0 = not drawn yet
	capacity  int           // positions
}

// begin lets a device join in anywhere between two frames, so that a fleet has its full rate from the start. What it
// has recorded since the frame before is of the time before the run.
func (j *journal) begin(v *vehicle) {
	if j.interval == 0 {
		return
	}
	// The more records a frame gathers, the more likely is a random moment to lie before it.
	for below(j.rng.Uint64(), uint64(j.perFrame.Max)) >= uint64(j.draw()) {
		j.nextCount = 0
	}
	thousandths := below(j.rng.Uint64(), uint64(j.nextCount)*1000)
	j.next += j.interval * time.Duration(thousandths) / 1000
	v.begin(v.clock + (j.next - j.interval*time.Duration(j.nextCount)).Milliseconds())
}

// latest is the time of the run in ms since 1970.
func (j *journal) latest(now time.Duration) int64 { return j.started + now.Milliseconds() }

// record records what is due at a time since the run's start, and returns how many records found no room.
func (j *journal) record(v *vehicle, now time.Duration) (missed int) {
	if j.interval == 0 {
		j.recordAsap(v, now)
		return 0
	}
	for j.left != 0 && j.next <= now {
		n, room := j.draw(), j.capacity-j.waiting()
		j.gatherNow(v, min(n, room), j.latest(now))
		if n > room {
			v.skip(n - room)
			missed += n - room
		}
		j.nextCount = 0
		j.next += time.Duration(j.draw()) * j.interval
	}
	return missed
}

// recordAsap records the next frame if the one before is taken and the clock has moved on far enough, and else says
// when it has.
func (j *journal) recordAsap(v *vehicle, now time.Duration) {
	if j.waiting() > 0 {
		return
	}
	n := j.draw()
	if lacking := int64(n) - v.room(j.latest(now)); lacking > 0 {
		j.next = now + time.Duration(lacking)*time.Millisecond
		return
	}
	j.gatherNow(v, n, j.latest(now))
	j.nextCount = 0
}

// draw decides how many records the next frame has.
func (j *journal) draw() int {
	if j.nextCount == 0 {
		r := j.perFrame
		j.nextCount = r.Min + int(below(j.rng.Uint64(), uint64(r.Max-r.Min+1)))
	}
	return j.nextCount
}

// gatherNow records n positions, stamped with latest at most.
func (j *journal) gatherNow(v *vehicle, n int, latest int64) {
	if j.left >= 0 {
		n = int(min(int64(n), j.left))
		j.left -= int64(n)
	}
	if j.first >= j.waiting() { // so that what is taken never takes more room than what is not
		j.positions, j.first = append(j.positions[:0], j.positions[j.first:]...), 0
	}
	for i := range n {
		after := int64(n - 1 - i) // that many need a millisecond each
		j.positions = append(j.positions, v.record(&j.rng, latest-after))
	}
}

// gather is for a coverage gap of n records. A device without a schedule records them at once; the others
// stay away for the time that is returned, and find them due then.
func (j *journal) gather(v *vehicle, n int, now time.Duration) time.Duration {
	if j.interval > 0 {
		return time.Duration(n) * j.interval
	}
	latest := j.latest(now)
	j.gatherNow(v, int(min(int64(n), int64(j.capacity-j.waiting()), v.room(latest))), latest)
	return 0
}

// take removes the next frame's positions, and tells whether they are to be sent in reversed order. They
// are valid until the next record.
func (j *journal) take() (positions []position, reversed bool) {
	n := min(j.waiting(), j.perFrame.Max)
	if j.order == OldestFirst {
		positions = j.positions[j.first : j.first+n]
		j.first += n
		return positions, false
	}
	rest := len(j.positions) - n
	positions = j.positions[rest:]
	j.positions = j.positions[:rest]
	return positions, true
}

// giveBack undoes taking the last n of the positions that were taken latest.
func (j *journal) giveBack(n int) {
	if j.order == OldestFirst {
		j.first -= n
		return
	}
	j.positions = j.positions[:len(j.positions)+n]
}

func (j *journal) waiting() int { return len(j.positions) - j.first }

// complete reports whether all that ever will be recorded is taken.
func (j *journal) complete() bool { return j.left == 0 && j.waiting() == 0 }

// due is when the next records are, since the run's start; not scheduled if there are none.
func (j *journal) due() (at time.Duration, scheduled bool) {
	if j.left == 0 {
		return 0, false
	}
	return j.next, true
}
