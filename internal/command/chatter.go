package command

import (
	"hash/maphash"
	"time"
)

// What a device may say of its own accord: chatterBurst messages in a row, and then chatterRate a second. Whatever it says
// is kept for somebody to read, so that one device must not fill the store.
const (
	chatterBurst = 200
	chatterRate  = 10
)

// chatterCells is how many devices are told apart; others share a cell.
const chatterCells = 1 << 14

// chatter is what devices have used of that, in a fixed memory. It is not for several goroutines at once.
type chatter struct {
	seed  maphash.Seed
	cells *[chatterCells]spoken
}

type spoken struct {
	used  float64
	since time.Time
}

func newChatter() chatter { return chatter{seed: maphash.MakeSeed(), cells: new([chatterCells]spoken)} }

// take reports whether the device may say one message more.
func (c *chatter) take(imei string, now time.Time) bool {
	cell := &c.cells[maphash.String(c.seed, imei)%chatterCells]
	cell.used = max(0, cell.used-chatterRate*now.Sub(cell.since).Seconds())
	cell.since = now
	if cell.used >= chatterBurst {
		return false
	}
	cell.used++
	return true
}
