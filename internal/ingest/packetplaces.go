package ingest

import (
	"net/netip"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// How many datagrams may be in hand: read, and not settled yet. One address may have a part of them, which is still
// enough for a fleet behind one address. It is a measure of how much datagrams may be in the way of connections, who share
// the processors with them, see BenchmarkFlood of teltonikasession.
const (
	maxInHand           = 256
	maxInHandOfAnOrigin = maxInHand / 2
)

// places are the datagrams in hand, in all and by address, in a fixed memory: addresses that share a cell share its
// places.
type places struct {
	taken     chan struct{}
	addresses *limit.Table[atomic.Int32]
}

// place is where an address's datagrams are counted.
type place = *atomic.Int32

func newPlaces() *places {
	return &places{taken: make(chan struct{}, maxInHand), addresses: limit.NewTable[atomic.Int32](guardCells)}
}

// reserve counts a datagram of the address, unless that has too many in hand. A place is to be taken next.
func (p *places) reserve(from netip.Addr) (place, bool) {
	cell := p.addresses.OfAddress(from)
	if cell.Add(1) > maxInHandOfAnOrigin {
		cell.Add(-1)
		return nil, false
	}
	return cell, true
}

// take takes a place if there is one.
func (p *places) take() bool {
	select {
	case p.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

// wait takes a place as soon as there is one, and reports false when the server is stopping.
func (p *places) wait(stopping <-chan struct{}) bool {
	select {
	case p.taken <- struct{}{}:
		return true
	case <-stopping:
		return false
	}
}

// give gives the place back.
func (p *places) give(cell place) {
	p.forget(cell)
	<-p.taken
}

// forget takes back that a datagram was counted.
func (p *places) forget(cell place) { cell.Add(-1) }

// warnings says when a drop is worth a line in the log: once a second for each reason. That is asked for each of a
// flood's datagrams, so it is cheaper than a line that the log suppresses.
type warnings struct{ last [3]atomic.Int64 } // ns since 1970

func (w *warnings) due(reason dropReason, now time.Time) bool {
	last := &w.last[reason.index()]
	before, at := last.Load(), now.UnixNano()
	return (at-before >= int64(time.Second) || at < before) && last.CompareAndSwap(before, at)
}
