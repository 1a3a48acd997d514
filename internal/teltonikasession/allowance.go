package teltonikasession

import (
	"errors"
	"hash/maphash"
	"time"
)

// deadLetterRate is what one device may add to the dead letters. Its interval is the shortest time in which trackers send
// a frame again.
var deadLetterRate = rate{burst: deadLetterBurst, interval: deadLetterInterval}

const (
	deadLetterBurst    = 1000
	deadLetterInterval = 5 * time.Second
)

// errDeadLetterLimit: the device, or all datagrams together, have used up the allowance. There is more with time, so a
// later resend is taken.
var errDeadLetterLimit = errors.New("the allowance of dead letters is used up")

// allowanceCells is how many devices are told apart. Others share a cell with one of them, so the memory is the
// same for any number of identifiers.
const allowanceCells = 1 << 16

// allowance is how many dead letters devices may still cause.
type allowance struct {
	seed  maphash.Seed
	cells *[allowanceCells]bucket
	total *bucket // of all devices together, at datagramDeadLetterRate; nil for no such limit
}

func newAllowance() allowance {
	return allowance{seed: maphash.MakeSeed(), cells: new([allowanceCells]bucket)}
}

// take reports whether the device may cause one more dead letter now, and notes it.
func (a *allowance) take(imei string, now time.Time) bool {
	return a.cells[maphash.String(a.seed, imei)%allowanceCells].take(1, now, deadLetterRate) &&
		(a.total == nil || a.total.take(1, now, datagramDeadLetterRate))
}
