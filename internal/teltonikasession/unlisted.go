package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// errUnlistedRate: a device that is on no list, or its address, sends more than the setting allows. A later resend is
// taken.
var errUnlistedRate = errors.New("too many records of devices that are on no list")

// unlistedSaved is how much of its rate a device has at once, for what it has kept while it was offline.
const unlistedSaved = 10 * time.Minute

// unlisted bounds what devices that are on no list may store, by device and by address. Without a list that is every
// device. Nil tables bound nothing.
type unlisted struct {
	devices, addresses      *limit.Table[limit.Bucket]
	deviceRate, addressRate limit.Rate // in records or messages
}

// newUnlisted returns the bounds of a device and of an address, in records a second; 0 is none.
func newUnlisted(device, address int) (u unlisted) {
	if device > 0 {
		u.devices, u.deviceRate = limit.NewTable[limit.Bucket](deviceCells), unlistedRate(device)
	}
	if address > 0 {
		u.addresses, u.addressRate = limit.NewTable[limit.Bucket](addressCells), unlistedRate(address)
	}
	return u
}

// unlistedRate lets a frame of any size through now and then.
func unlistedRate(perSecond int) limit.Rate {
	return limit.PerSecond(perSecond, max(2*maxRecords, perSecond*int(unlistedSaved/time.Second)))
}

// maxRecords is the most that a frame has.
const maxRecords = 255

// spend reports whether o may store n records or messages, and notes them.
func (u *unlisted) spend(o *source, n int, now time.Time) bool {
	if o.onList || n == 0 {
		return true
	}
	var device *limit.Bucket
	if u.devices != nil {
		if device = u.devices.Of(o.DeviceID); !device.Has(n, now, u.deviceRate) {
			return false
		}
	}
	if u.addresses != nil && o.network.IsValid() && !u.addresses.OfAddress(o.network).Take(n, now, u.addressRate) {
		return false
	}
	return device == nil || device.Take(n, now, u.deviceRate)
}
