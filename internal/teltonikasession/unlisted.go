package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// errUnlistedRate: a device that is on no list, or its address, sends more than the setting allows. A later resend is
// taken.
var errUnlistedRate = errors.New("too many records of devices that are on no list")

// unlistedSaved is how much of its rate a device has at once, for what it has kept while it was offline.
const unlistedSaved = 10 * time.Minute

// unlisted bounds what devices that are on no list may store, by device at one address and by address. Without a list
// that is every device. Nil tables bound nothing.
type unlisted struct {
	devices, addresses      *limit.Table[limit.Bucket]
	deviceRate, addressRate limit.Rate // in records or messages
	bulk                    *limit.Table[limit.Bucket]
	bulkRate                limit.Rate // in bytes of an address
}

func newUnlisted(o *Options) (u unlisted) {
	if o.UnlistedRate > 0 {
		u.devices, u.deviceRate = limit.NewTable[limit.Bucket](deviceCells), unlistedRate(o.UnlistedRate)
	}
	if o.UnlistedAddressRate > 0 {
		u.addresses, u.addressRate = limit.NewTable[limit.Bucket](addressCells), unlistedRate(o.UnlistedAddressRate)
	}
	if o.UnlistedAddressBytes > 0 {
		u.bulk = limit.NewTable[limit.Bucket](addressCells)
		u.bulkRate = limit.PerSecond(o.UnlistedAddressBytes, bulkSaved*o.UnlistedAddressBytes)
		u.bulkRate.Debt = max(maxBulk, 2*o.MaxFrameBytes)
	}
	return u
}

// unlistedRate lets a frame of any size through, also among many small ones.
func unlistedRate(perSecond int) limit.Rate {
	rate := limit.PerSecond(perSecond, max(2*teltonika.MaxRecords, perSecond*int(unlistedSaved/time.Second)))
	rate.Debt = 2 * teltonika.MaxRecords
	return rate
}

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

// Bulk is what takes far more room than records do, by which vehicles show where they are: messages, and what records
// have beyond ordinaryRecord, which even those with many elements stay below. Each message counts as so many bytes more
// than it has, because as many are stored with it.
const (
	ordinaryRecord = 256
	bulkSaved      = 64 // s: how much of its rate an address has at once: the pictures of a fleet behind one carrier's NAT
	maxBulk        = 8 << 20
)

// bulkPatience is how long a frame of records waits. Its device waits for its ACK for 30 s.
const bulkPatience = 20 * time.Second

// spendBulk is how long it takes until the address may store the bulk of w. If it may now, that is noted.
func (u *unlisted) spendBulk(w *frameContext, now time.Time) (wait time.Duration) {
	n := w.bulk()
	if u.bulk == nil || w.onList || n == 0 || !w.network.IsValid() {
		return 0
	}
	n = min(n, u.bulkRate.Debt)
	address := u.bulk.OfAddress(w.network)
	if address.Take(n, now, u.bulkRate) {
		return 0
	}
	return max(1, address.Wait(n, now, u.bulkRate))
}

// bulk is how many bytes of bulk the decoded packet is.
func (w *frameContext) bulk() int {
	if w.Codec.IsMessage() {
		return w.packet.Bytes() + w.items*ordinaryRecord
	}
	return max(0, w.packet.Bytes()-w.items*ordinaryRecord)
}

// allowBulk waits until the address may store the bulk at hand. Nothing is read meanwhile.
func (s *session) allowBulk(w *frameContext) error {
	for {
		now := time.Now()
		wait := s.unlisted.spendBulk(w, now)
		if wait == 0 {
			return nil
		}
		tooLate := !w.Codec.IsMessage() && now.Add(wait).Sub(w.Received) > bulkPatience
		if tooLate || !s.conn.Lasts() || s.conn.Pause(min(wait, maxKeepPause)) != nil {
			return errUnlistedRate
		}
	}
}
