package publish

import "sync/atomic"

// Quota is the part of the queue that some frames may take at the most. Others always find room.
type Quota struct {
	capacity int64 // items
	maxBytes int64
	queued   atomic.Int64 // items of the capacity in use
	bytes    atomic.Int64 // of the published frames' buffers
}

// Quota returns a quota of one part in so many. It has room for one frame at least.
func (p *Publisher) Quota(parts int) *Quota {
	return &Quota{
		capacity: int64(max(p.options.LargestFrame, p.options.Capacity/parts)),
		maxBytes: p.maxBytes() / int64(parts),
	}
}

// take notes n items, which give gives back in any case, and reports whether there was room. A nil quota has no limit.
func (q *Quota) take(n int) bool { return q == nil || q.queued.Add(int64(n)) <= q.capacity }

// takeBytes is take for the memory of a frame.
func (q *Quota) takeBytes(n int64) bool { return q == nil || q.bytes.Add(n) <= q.maxBytes }

func (q *Quota) give(items int, bytes int64) {
	if q != nil {
		q.queued.Add(int64(-items))
		q.bytes.Add(-bytes)
	}
}
