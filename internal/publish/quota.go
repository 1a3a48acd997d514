package publish

import "sync/atomic"

// largestFrame is how many records a frame may have.
const largestFrame = 255

// Share is a part of the queue that frames of one kind may take at the most, so that others always find room.
type Quota struct {
	capacity int64 // records
	maxBytes int64
	queued   atomic.Int64 // records of the capacity in use
	bytes    atomic.Int64 // of the published frames' buffers
}

// Quota returns a quota of one part in so many. It has room for one frame at least.
func (p *Publisher) Quota(parts int) *Quota {
	return &Quota{
		capacity: max(largestFrame, int64(p.options.Capacity/parts)),
		maxBytes: p.maxBytes() / int64(parts),
	}
}

// take reserves room for n records; a nil quota has no limit.
func (s *Quota) take(n int) bool {
	if s == nil {
		return true
	}
	if s.queued.Add(int64(n)) > s.capacity {
		s.queued.Add(int64(-n))
		return false
	}
	return true
}

// takeBytes notes the memory of a frame, which release gives back in any case, and reports whether there was room.
func (s *Quota) takeBytes(n int64) bool {
	return s == nil || s.bytes.Add(n) <= s.maxBytes
}

func (s *Quota) give(records int, bytes int64) {
	if s != nil {
		s.queued.Add(int64(-records))
		s.bytes.Add(-bytes)
	}
}
