package teltonikasession

import (
	"net/netip"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// A device whose connections are closed again and again for what it sends, or that is refused, comes back at once and
// for ever. Its logins are answered later: after firstLoginBackoff, and then after maxLoginBackoff, so that it comes
// back once in two seconds and not at full speed. A longer wait would shut devices out: one that has waited for its
// answer too long says its login again, or goes away. An acknowledged frame ends the backoff, and so does
// loginBackoffMemory without another reason for it. Two devices with one IMEI wait for maxLoginBackoff while they take
// over from each other: see device.Memory.Contested.
const (
	firstLoginBackoff  = time.Second
	maxLoginBackoff    = 2 * time.Second
	loginBackoffMemory = 10 * time.Minute
)

// loginBackoffCells is how many logins are kept in mind; two that share a cell forget each other.
const loginBackoffCells = 1 << 15

// loginSource is whose login waits: a device's, from one place. A stranger who logs in under a device's IMEI elsewhere
// makes nobody wait but himself.
type loginSource struct {
	network netip.Addr // see ingest.Conn.Network
	imei    string
	refused bool // as an unknown device: nothing of that counts any more when the device becomes known
}

// key is the source as a text.
func (s loginSource) key() string {
	kind := "closed "
	if s.refused {
		kind = "refused "
	}
	return kind + s.imei + " " + s.network.String()
}

// loginBackoff remembers the logins that are to wait, in a fixed memory and without a lock.
type loginBackoff struct{ sources *limit.Table[atomic.Uint64] }

// A cell is, from the top: 16 bits that tell the login from others of the cell, 8 bits that count the reasons to wait
// in a row, and 40 bits of the last one's time in s since 1970.
const (
	backoffTagShift   = 48
	backoffCountShift = 40
	backoffTimeMask   = 1<<backoffCountShift - 1
)

func newLoginBackoff() loginBackoff {
	return loginBackoff{limit.NewTable[atomic.Uint64](loginBackoffCells)}
}

func (b *loginBackoff) cell(source loginSource) (cell *atomic.Uint64, tag uint64) {
	c, t := b.sources.Find(source.key())
	return c, uint64(t)
}

// count is how many reasons to wait the cell counts for the login.
func (b *loginBackoff) count(cell, tag uint64, now time.Time) uint64 {
	age := now.Sub(time.Unix(int64(cell&backoffTimeMask), 0))
	clockWentBack := age < -loginBackoffMemory
	if cell>>backoffTagShift != tag || age >= loginBackoffMemory || clockWentBack {
		return 0
	}
	return cell >> backoffCountShift & 0xff
}

// grow notes one more reason to wait.
func (b *loginBackoff) grow(source loginSource, now time.Time) {
	cell, tag := b.cell(source)
	count := min(b.count(cell.Load(), tag, now)+1, 0xff)
	cell.Store(tag<<backoffTagShift | count<<backoffCountShift | uint64(now.Unix())&backoffTimeMask)
}

// end forgets the login's reasons to wait.
func (b *loginBackoff) end(source loginSource) {
	cell, tag := b.cell(source)
	if c := cell.Load(); c != 0 && c>>backoffTagShift == tag {
		cell.CompareAndSwap(c, 0)
	}
}

// due is how long the login is to wait, at most maxLoginBackoff.
func (b *loginBackoff) due(source loginSource, now time.Time) time.Duration {
	cell, tag := b.cell(source)
	count := b.count(cell.Load(), tag, now)
	if count == 0 {
		return 0
	}
	return min(firstLoginBackoff<<min(count-1, 10), maxLoginBackoff)
}
