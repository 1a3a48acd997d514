package ingest

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
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
	seed  maphash.Seed
	taken chan struct{}
	cells [guardCells]atomic.Int32
}

// place is a cell of places.
type place int

func newPlaces() *places {
	return &places{seed: maphash.MakeSeed(), taken: make(chan struct{}, maxInHand)}
}

// reserve counts a datagram of the address, unless that has too many in hand. A place is to be taken next.
func (p *places) reserve(from netip.Addr) (place, bool) {
	cell := place(maphash.Comparable(p.seed, network(from)) % guardCells)
	if p.cells[cell].Add(1) > maxInHandOfAnOrigin {
		p.cells[cell].Add(-1)
		return 0, false
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
func (p *places) forget(cell place) { p.cells[cell].Add(-1) }

// warnings says when a drop is worth a line in the log: once a second for each reason. That is asked for each of a
// flood's datagrams, so it is cheaper than a line that the log suppresses.
type warnings struct{ last [3]atomic.Int64 } // ns since 1970

func (w *warnings) due(reason dropReason, now time.Time) bool {
	last := &w.last[reason.index()]
	before, at := last.Load(), now.UnixNano()
	return (at-before >= int64(time.Second) || at < before) && last.CompareAndSwap(before, at)
}
