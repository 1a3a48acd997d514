package mirror

import (
	"bytes"
	"context"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Queue is what waits of a device, in the order in which it came. A nil Queue takes nothing and costs nothing.
type Queue struct {
	mirror *Mirror
	device string
	noRoom bool          // there are too many devices: it drops all
	wake   chan struct{} // its bearer has something to do
	ctx    context.Context
	end    context.CancelFunc // ends its bearer at once

	mu       sync.Mutex
	sessions int
	coming   int    // frames on their way through the inbox
	bytes    int    // of those and of items, and of the one that the bearer has
	items    []item // the oldest first
	refused  bool   // the old platform does not take the device's login
	evicted  bool   // for another device
}

// Offer leaves a copy of a frame with a right CRC, and does not wait. The receipt is nil if nobody has to wait for the
// old platform.
func (q *Queue) Offer(frame teltonika.Frame) *Receipt {
	if q == nil {
		return nil
	}
	o := &offer{queue: q}
	if q.mirror.Both && !frame.Codec().IsMessage() {
		o.receipt = &Receipt{mirror: q.mirror, answer: make(chan error, 1)}
	}
	reason := q.admit(len(frame))
	if reason == "" {
		o.frame = bytes.Clone(frame)
		if q.mirror.inbox.put(o) {
			return o.receipt
		}
		q.lose(len(frame))
		reason = "disk_slow"
	}
	o.receipt.settle(errNotAcknowledged)
	q.mirror.dropped(reason, 1, nil)
	return o.receipt
}

// admit makes room for a frame, or says why there is none.
func (q *Queue) admit(size int) (reason string) {
	if q.noRoom {
		return "devices"
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.evicted:
		return "devices"
	case q.refused && q.bytes+size > maxRefused:
		return "refused"
	case int64(q.bytes+size) > q.mirror.BufferBytes/deviceParts:
		return "device_full"
	}
	q.coming++
	q.bytes += size
	return ""
}

// expect counts a frame from before the start, which is pushed next.
func (q *Queue) expect(size int) {
	q.mu.Lock()
	q.coming++
	q.bytes += size
	q.mu.Unlock()
}

// lose is called when a frame that was admitted does not get into the buffer.
func (q *Queue) lose(size int) {
	q.mu.Lock()
	q.coming--
	q.bytes -= size
	q.mu.Unlock()
	q.nudge()
}

// push adds a frame that is in the buffer.
func (q *Queue) push(i item) {
	q.mu.Lock()
	q.coming--
	stale := q.shed()
	q.items = append(q.items, i)
	evicted := q.evicted
	q.mu.Unlock()
	q.doneWith(stale)
	if evicted {
		q.dropAll("devices")
	}
	q.nudge()
}

// shed takes out the oldest that nobody wants any more, so that a queue is no longer than what waits. The lock is held;
// doneWith is due without it.
func (q *Queue) shed() (stale []item) {
	n := 0
	for n < len(q.items) && q.items[n].stale() {
		q.bytes -= int(q.items[n].size)
		n++
	}
	stale, q.items = q.items[:n], q.items[n:]
	return stale
}

// doneWith is called once for each frame that is taken out, and returns how many of them the buffer has not dropped.
// The lock is not held: the disk may hang, and sessions wait for the lock.
func (q *Queue) doneWith(items []item) (frames int) {
	for i := range items {
		if items[i].finish() {
			frames++
		}
	}
	q.mirror.metrics.waiting.Add(-int64(frames))
	return frames
}

// next takes out the oldest frame.
func (q *Queue) next() (i item, ok bool) {
	q.mu.Lock()
	stale := q.shed()
	if ok = len(q.items) > 0; ok {
		i, q.items = q.items[0], q.items[1:]
	} else {
		q.items = nil
	}
	q.mu.Unlock()
	q.doneWith(stale)
	return i, ok
}

// finish is called when the bearer is done with a frame. It reports false if the buffer has dropped it.
func (q *Queue) finish(i *item) bool {
	q.mu.Lock()
	q.bytes -= int(i.size)
	q.mu.Unlock()
	return q.doneWith([]item{*i}) == 1
}

// dropAll drops all that waits.
func (q *Queue) dropAll(reason string) {
	q.mu.Lock()
	items := q.items
	q.items = nil
	for i := range items {
		q.bytes -= int(items[i].size)
	}
	q.mu.Unlock()
	for i := range items {
		items[i].receipt.settle(errNotAcknowledged)
	}
	q.mirror.dropped(reason, q.doneWith(items), nil)
}

func (q *Queue) hold() {
	q.mu.Lock()
	q.sessions++
	q.mu.Unlock()
	q.nudge()
}

// Release says that the session has left. What waits is still brought to the old platform.
func (q *Queue) Release() {
	if q == nil || q.noRoom {
		return
	}
	q.mu.Lock()
	q.sessions--
	q.mu.Unlock()
	q.nudge()
}

// nudge has the bearer look.
func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// inSession reports whether the device is connected.
func (q *Queue) inSession() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sessions > 0
}

// idle reports whether the queue is needed no more.
func (q *Queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sessions == 0 && q.coming == 0 && len(q.items) == 0
}

// left reports whether the device has left, and whether it has left nothing.
func (q *Queue) left() (left, empty bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sessions == 0, q.bytes == 0
}

// evict has a queue whose device has left drop all; it reports false if the device is connected.
func (q *Queue) evict() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sessions == 0 {
		q.evicted = true
		q.end()
	}
	return q.evicted
}

func (q *Queue) isEvicted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.evicted
}

// setRefused takes down whether the old platform takes the device's login.
func (q *Queue) setRefused(refused bool) {
	q.mu.Lock()
	q.refused = refused
	q.mu.Unlock()
}
