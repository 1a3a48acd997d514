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

// unlisted bounds what devices that are on no list may store, by device at one address and by address. Without a list that
// is every device. Nil tables bound nothing.
type unlisted struct {
	devices, addresses      *limit.Table[limit.Bucket]
	deviceRate, addressRate limit.Rate // in records or messages
}

func newUnlisted(o *Options) (u unlisted) {
	if o.UnlistedRate > 0 {
		u.devices, u.deviceRate = limit.NewTable[limit.Bucket](deviceCells), unlistedRate(o.UnlistedRate)
	}
	if o.UnlistedAddressRate > 0 {
		u.addresses, u.addressRate = limit.NewTable[limit.Bucket](addressCells), unlistedRate(o.UnlistedAddressRate)
	}
	return u
}

// unlistedRate lets a frame of any size through, also among many small ones.
func unlistedRate(perSecond int) limit.Rate {
	rate := limit.PerSecond(perSecond, max(2*maxRecords, perSecond*int(unlistedSaved/time.Second)))
	rate.Debt = 2 * maxRecords
	return rate
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
		if device = u.devices.OfSource(o.network, o.DeviceID); !device.Has(n, now, u.deviceRate) {
			return false
		}
	}
	if u.addresses != nil && o.network.IsValid() && !u.addresses.OfAddress(o.network).Take(n, now, u.addressRate) {
		return false
	}
	return device == nil || device.Take(n, now, u.deviceRate)
}
