package ingest

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// How many datagrams may be in hand: read, and not settled yet. One address may have a part of them, which is still
// enough for a fleet behind one address.
const (
	maxInHand           = 2048
	maxInHandOfAnOrigin = maxInHand / 4
)

// places are the datagrams in hand, in all and by address, in a fixed memory: addresses that share a cell share its
// places.
type places struct {
	seed  maphash.Seed
	taken atomic.Int32
	cells [guardCells]atomic.Int32
}

// place is a cell of places.
type place int

func newPlaces() *places { return &places{seed: maphash.MakeSeed()} }

// take takes a place for a datagram of the address, or says why there is none.
func (p *places) take(from netip.Addr) (place, dropReason) {
	cell := place(maphash.Comparable(p.seed, network(from)) % guardCells)
	if p.taken.Add(1) > maxInHand {
		p.taken.Add(-1)
		return 0, dropBusy
	}
	if p.cells[cell].Add(1) > maxInHandOfAnOrigin {
		p.give(cell)
		return 0, dropAddressBusy
	}
	return cell, ""
}

func (p *places) give(cell place) {
	p.cells[cell].Add(-1)
	p.taken.Add(-1)
}

// warnings says when a drop is worth a line in the log: once a second for each reason. That is asked for each of a
// flood's datagrams, so it is cheaper than a line that the log suppresses.
type warnings struct{ last [4]atomic.Int64 } // ns since 1970

func (w *warnings) due(reason dropReason, now time.Time) bool {
	last := &w.last[reason.index()]
	before, at := last.Load(), now.UnixNano()
	return (at-before >= int64(time.Second) || at < before) && last.CompareAndSwap(before, at)
}
