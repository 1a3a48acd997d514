package command

import (
	"hash/maphash"
	"time"
)

// How often the store is asked about what a device says that nobody here awaits: about chatterBurst messages in
// a row, and then chatterRate a second. A device that sends data of its own accord must not keep the store
// busy.
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

// take reports whether the store may be asked about one more message of the device.
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
