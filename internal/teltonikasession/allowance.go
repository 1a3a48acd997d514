package teltonikasession

import (
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// What one device may add to the dead letters: a burst, and then one more every deadLetterInterval, which is the
// shortest time in which trackers send a frame again.
const (
	deadLetterBurst    = 1000
	deadLetterInterval = 5 * time.Second
)

// errDeadLetterLimit: the device has used up its allowance. It gets more with time, so a later resend is taken.
var errDeadLetterLimit = errors.New("too many dead letters of one device")

// allowanceCells is how many devices are told apart. Others share a cell with one of them, so the memory is the
// same for any number of identifiers.
const allowanceCells = 1 << 16

// allowance is how many dead letters devices may still cause.
type allowance struct {
	seed maphash.Seed
	// Each cell is the time, in ns since 1970, at which its allowance will be whole again.
	cells *[allowanceCells]atomic.Int64
}

func newAllowance() allowance {
	return allowance{seed: maphash.MakeSeed(), cells: new([allowanceCells]atomic.Int64)}
}

// take reports whether the device may cause one more dead letter now, and notes it.
func (a *allowance) take(imei string, now time.Time) bool {
	cell := &a.cells[maphash.String(a.seed, imei)%allowanceCells]
	latest := now.Add(deadLetterBurst * deadLetterInterval).UnixNano()
	for {
		whole := cell.Load()
		since := max(whole, now.UnixNano())
		if whole > latest { // the clock has gone back
			since = now.UnixNano()
		}
		next := since + int64(deadLetterInterval)
		if next > latest {
			return false
		}
		if cell.CompareAndSwap(whole, next) {
			return true
		}
	}
}
