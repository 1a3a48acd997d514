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

// What all devices together may add, in bytes a second: who makes devices up has an allowance for each. Devices that are
// not on the list, if there is one, have their own, so that they do not use up the others'. One address has a part of it.
const (
	deadLetterBytes         = 1 << 20
	strangerDeadLetterBytes = deadLetterBytes / 4
	deadLetterBytesSaved    = 64 // s: how much of it there may be at once
	deadLetterAddressPart   = 2
)

// errDeadLetterLimit: the device, its address, or all together have used up the allowance. There is more with time, so a
// later resend is taken.
var errDeadLetterLimit = errors.New("the allowance of dead letters is used up")

// How many devices and addresses are told apart; see limit.Table.
const (
	deviceCells  = 1 << 16
	addressCells = 1 << 14
)

// allowance is what those who share it may still add to the dead letters: each device a number, each address and all
// together bytes.
type allowance struct {
	devices     *limit.Table[limit.Bucket]
	addresses   *limit.Table[limit.Bucket]
	addressRate limit.Rate // in bytes
	all         limit.Bucket
	allRate     limit.Rate    // in bytes
	number      *limit.Bucket // of all devices together, at datagramDeadLetterRate; nil for no such limit
}

// newAllowance returns an allowance of so many bytes a second, which is enough for a frame of any size now and then.
func newAllowance(bytes, maxFrameBytes int) *allowance {
	rate := func(bytes int) limit.Rate {
		return limit.PerSecond(bytes, max(deadLetterBytesSaved*bytes, 2*maxFrameBytes))
	}
	return &allowance{
		devices: limit.NewTable[limit.Bucket](deviceCells), addresses: limit.NewTable[limit.Bucket](addressCells),
		addressRate: rate(bytes / deadLetterAddressPart), allRate: rate(bytes),
	}
}

// take reports whether o may cause one more dead letter of so many bytes, and notes it. What one of the limits refuses
// is not taken from the others.
func (a *allowance) take(o *origin, bytes int) bool {
	device, address, now := a.devices.Of(o.imei), a.addresses.OfAddress(o.network), o.received
	switch {
	case !device.Has(1, now, deadLetterRate), !a.all.Has(bytes, now, a.allRate):
		return false
	case o.network.IsValid() && !address.Take(bytes, now, a.addressRate):
		return false
	case a.number != nil && !a.number.Take(1, now, datagramDeadLetterRate):
		return false
	}
	return device.Take(1, now, deadLetterRate) && a.all.Take(bytes, now, a.allRate)
}
