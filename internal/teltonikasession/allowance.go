package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// deadLetterRate is what one device may add to the dead letters. Its interval is the shortest time in which trackers send
// a frame again.
var deadLetterRate = limit.Rate{Burst: deadLetterBurst, Interval: deadLetterInterval}

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
	devices *limit.Table[limit.Bucket]
	total   *limit.Bucket // of all devices together, at datagramDeadLetterRate; nil for no such limit
}

func newAllowance() allowance {
	return allowance{devices: limit.NewTable[limit.Bucket](allowanceCells)}
}

// take reports whether the device may cause one more dead letter now, and notes it.
func (a *allowance) take(imei string, now time.Time) bool {
	return a.devices.Of(imei).Take(1, now, deadLetterRate) &&
		(a.total == nil || a.total.Take(1, now, datagramDeadLetterRate))
}
