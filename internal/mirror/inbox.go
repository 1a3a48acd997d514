package mirror

import (
	"slices"
	"sync/atomic"
)

// offer is a frame on its way from a session to the buffer.
type offer struct {
	next    *offer
	queue   *Queue
	frame   []byte
	receipt *Receipt // nil if nobody waits
}

// inbox is where sessions leave offers, without a lock.
type inbox struct {
	last  atomic.Pointer[offer] // the newest; each knows the one before it
	bytes atomic.Int64
	wake  chan struct{}
}

// put leaves an offer, if there is room.
func (b *inbox) put(o *offer) bool {
	size := int64(len(o.frame))
	if b.bytes.Add(size) > maxInbox {
		b.bytes.Add(-size)
		return false
	}
	for {
		o.next = b.last.Load()
		if b.last.CompareAndSwap(o.next, o) {
			break
		}
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take takes all offers, the oldest first.
func (b *inbox) take() []*offer {
	var all []*offer
	for o := b.last.Swap(nil); o != nil; o = o.next {
		all = append(all, o)
		b.bytes.Add(-int64(len(o.frame)))
	}
	slices.Reverse(all)
	return all
}
