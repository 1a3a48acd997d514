package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// deadLetterRate is what one device may add to the dead letters. Its interval is the shortest time in which trackers
// send a frame again.
var deadLetterRate = limit.Rate{Burst: deadLetterBurst, Interval: deadLetterInterval}

const (
	deadLetterBurst    = 1000
	deadLetterInterval = 5 * time.Second
)

// What all devices together may add, in bytes a second: who makes devices up has a quota for each. Devices that are not
// on the list, if there is one, have their own, so that they do not use up the others'. One address has a part of it.
const (
	deadLetterBytes         = 1 << 20
	strangerDeadLetterBytes = deadLetterBytes / 4
	deadLetterBytesSaved    = 64 // s: how much of it there may be at once
	deadLetterAddressPart   = 2
)

// deadLetterPatience is how long a frame that nobody sends again waits for its place among the dead letters: a device's
// next one, even if there are others at its address. Longer would hold back the records behind it.
const deadLetterPatience = 2 * deadLetterInterval

// errDeadLetterLimit: the device, its address, or all together have used up the quota. There is more with time, so a
// later resend is taken.
var errDeadLetterLimit = errors.New("the quota of dead letters is used up")

// How many devices and addresses are told apart; see limit.Table.
const (
	deviceCells  = 1 << 16
	addressCells = 1 << 14
)

// deadLetterQuota is what those who share it may still add to the dead letters: each device a number, each address and
// all together bytes.
type deadLetterQuota struct {
	devices     *limit.Table[limit.Bucket]
	addresses   *limit.Table[limit.Bucket]
	addressRate limit.Rate // in bytes
	all         limit.Bucket
	allRate     limit.Rate    // in bytes
	number      *limit.Bucket // of all devices together, at datagramDeadLetterRate; nil for no such limit
}

// newDeadLetterQuota returns a quota of so many bytes a second, which is enough for a frame of any size now and then.
func newDeadLetterQuota(bytes, maxFrameBytes int) *deadLetterQuota {
	rate := func(bytes int) limit.Rate {
		return limit.PerSecond(bytes, max(deadLetterBytesSaved*bytes, 2*maxFrameBytes))
	}
	return &deadLetterQuota{
		devices: limit.NewTable[limit.Bucket](deviceCells), addresses: limit.NewTable[limit.Bucket](addressCells),
		addressRate: rate(bytes / deadLetterAddressPart), allRate: rate(bytes),
	}
}

// spend reports whether o may cause one more dead letter of so many bytes, and notes it. What one of the limits refuses
// is not taken from the others.
func (q *deadLetterQuota) spend(o *source, bytes int, now time.Time) bool {
	device, address := q.devices.OfSource(o.network, o.DeviceID), q.addresses.OfAddress(o.network)
	switch {
	case !device.Has(1, now, deadLetterRate), !q.all.Has(bytes, now, q.allRate):
		return false
	case o.network.IsValid() && !address.Take(bytes, now, q.addressRate):
		return false
	case q.number != nil && !q.number.Take(1, now, datagramDeadLetterRate):
		return false
	}
	return device.Take(1, now, deadLetterRate) && q.all.Take(bytes, now, q.allRate)
}
