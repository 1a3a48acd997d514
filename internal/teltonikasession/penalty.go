package teltonikasession

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// A device whose connections are closed again and again for what it sends, or that is refused, comes back at once and
// for ever. Its logins are answered later and later: after firstPenalty, then twice that, up to maxPenalty, which
// is well within the 30 s that trackers wait for an answer. An acknowledged frame ends it, and so does penaltyMemory
// without another offence.
const (
	firstPenalty  = time.Second
	maxPenalty    = 16 * time.Second
	penaltyMemory = 10 * time.Minute
)

// penaltyCells is how many devices are kept in mind; two that share a cell forget each other.
const penaltyCells = 1 << 15

// penalties remembers the offences of devices, in a fixed memory and without a lock.
type penalties struct {
	seed  maphash.Seed
	cells *[penaltyCells]atomic.Uint64
}

// A cell is, from the top: 16 bits that tell the device from others of the cell, 8 bits of offences in a row, and
// 40 bits of the last one's time in s since 1970.
const (
	penaltyTagShift   = 48
	penaltyCountShift = 40
	penaltyTimeMask   = 1<<penaltyCountShift - 1
)

func newPenalties() penalties {
	return penalties{seed: maphash.MakeSeed(), cells: new([penaltyCells]atomic.Uint64)}
}

func (p *penalties) cell(imei string) (cell *atomic.Uint64, tag uint64) {
	h := maphash.String(p.seed, imei)
	return &p.cells[h%penaltyCells], h >> penaltyTagShift
}

// offences is how many the cell counts of the device.
func offences(cell, tag uint64, now time.Time) uint64 {
	last := time.Unix(int64(cell&penaltyTimeMask), 0)
	age := now.Sub(last)
	if cell>>penaltyTagShift != tag || age >= penaltyMemory || age < -penaltyMemory { // or the clock has gone back
		return 0
	}
	return cell >> penaltyCountShift & 0xff
}

// add notes an offence.
func (p *penalties) add(imei string, now time.Time) {
	cell, tag := p.cell(imei)
	count := min(offences(cell.Load(), tag, now)+1, 0xff)
	cell.Store(tag<<penaltyTagShift | count<<penaltyCountShift | uint64(now.Unix())&penaltyTimeMask)
}

// end forgets the device's offences.
func (p *penalties) end(imei string) {
	cell, tag := p.cell(imei)
	if c := cell.Load(); c != 0 && c>>penaltyTagShift == tag {
		cell.CompareAndSwap(c, 0)
	}
}

// due is how long the device's login is to wait.
func (p *penalties) due(imei string, now time.Time) time.Duration {
	cell, tag := p.cell(imei)
	count := offences(cell.Load(), tag, now)
	if count == 0 {
		return 0
	}
	return min(firstPenalty<<min(count-1, 10), maxPenalty)
}
