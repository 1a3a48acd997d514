package ingest

import (
	"net/netip"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// How many datagrams may be in hand: read, and not settled yet. One address may have a part of them, which is still
// enough for a fleet behind one address. It is a measure of how much datagrams may be in the way of connections, who
// share the processors with them, see BenchmarkFlood of teltonikasession.
const (
	maxInHand          = 256
	maxInHandOfAddress = maxInHand / 2
)

// packetLimiter bounds the datagrams in hand, in all and by address, in a fixed memory: addresses that share a cell
// share what it has.
type packetLimiter struct {
	taken     chan struct{}
	addresses *limit.Table[atomic.Int32]
}

// place is where an address's datagrams are counted.
type place = *atomic.Int32

func newPacketLimiter() *packetLimiter {
	return &packetLimiter{taken: make(chan struct{}, maxInHand), addresses: limit.NewTable[atomic.Int32](addressCells)}
}

// reserve counts a datagram of the address, unless that has too many in hand. A place is to be taken next.
func (p *packetLimiter) reserve(from netip.Addr) (place, bool) {
	cell := p.addresses.OfAddress(from)
	if cell.Add(1) > maxInHandOfAddress {
		cell.Add(-1)
		return nil, false
	}
	return cell, true
}

// tryAcquire takes a place if there is one.
func (p *packetLimiter) tryAcquire() bool {
	select {
	case p.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquire takes a place as soon as there is one, and reports false when the server is stopping.
func (p *packetLimiter) acquire(stopping <-chan struct{}) bool {
	select {
	case p.taken <- struct{}{}:
		return true
	case <-stopping:
		return false
	}
}

// release gives the place back.
func (p *packetLimiter) release(cell place) {
	p.unreserve(cell)
	<-p.taken
}

// unreserve takes back that a datagram was counted.
func (p *packetLimiter) unreserve(cell place) { cell.Add(-1) }

// warnings says when a drop is worth a line in the log, for each reason. That is asked for each of a flood's datagrams,
// so it is cheaper than a line that the log suppresses.
type warnings [3]limit.Bucket

var warningRate = limit.PerSecond(1, 1)

func (w *warnings) due(reason dropReason, now time.Time) bool {
	return w[reason.index()].Take(1, now, warningRate)
}
