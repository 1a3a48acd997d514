package mirror

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
)

const (
	segments   = 16      // of a full buffer
	beginAgain = 1 << 20 // bytes: an idle segment that is larger begins again, so that a mirror that keeps up stays small
	perFrame   = 256     // the buffer holds at most one frame for so many of its bytes, because each takes memory too
	keepBatch  = 1 << 20 // bytes: a larger batch's memory is given back
)

// buffer is a log of segments: the newest is written to, and the oldest is dropped when there is no room. One goroutine
// uses it. Nothing is synced: it outlives the process, and not the machine.
type buffer struct {
	dir      string
	limit    int64 // bytes
	dropped  func(reason string, frames int, err error)
	metrics  *metrics
	logger   *slog.Logger
	segments []*segment // the oldest first
	unread   []*segment // that are left alone
	number   uint64     // of the newest
	total    int64      // bytes of all segments
	waiting  *atomic.Int64
	failed   bool // to write: the disk may be full
	batch    []byte
	placed   []placed // of batch
}

// placed is an offer and where it is in the batch's segment.
type placed struct {
	*offer
	item
}

const suffix = ".segment"

func openBuffer(o *Options, dropped func(string, int, error), m *metrics) (*buffer, error) {
	dir, limit := o.Dir, o.BufferBytes
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("buffer of the mirror: %w", err)
	}
	m.capacity.Set(float64(limit))
	return &buffer{dir: dir, limit: limit, dropped: dropped, metrics: m, waiting: &m.waiting, logger: o.Logger}, nil
}

// append writes the offers, and has their devices' queues hold them.
func (b *buffer) append(offers []*offer) {
	for _, o := range offers {
		size := int64(entryHeader + len(o.queue.device) + len(o.frame))
		if err := b.makeRoom(size); err != nil {
			b.fail(o, err)
			continue
		}
		at := len(b.batch)
		s := b.segments[len(b.segments)-1]
		b.batch = appendEntry(b.batch, o.queue.device, o.frame)
		b.placed = append(b.placed, placed{o, item{segment: s, at: uint32(s.size) + uint32(at),
			skip: uint32(entryHeader + len(o.queue.device)), size: uint32(len(o.frame)), receipt: o.receipt}})
	}
	b.flush()
	b.metrics.bytes.Set(float64(b.total))
}

// makeRoom sees to it that the newest segment has room for an entry behind the batch.
func (b *buffer) makeRoom(size int64) error {
	if n := len(b.segments); n == 0 || b.segments[n-1].size+int64(len(b.batch))+size > b.limit/segments {
		b.flush()
		if err := b.begin(); err != nil {
			return err
		}
	}
	for b.full(size) && len(b.segments) > 1 {
		b.drop(0, "buffer_full")
	}
	if b.full(size) {
		return errors.New("the buffer is too small for the frame")
	}
	return nil
}

func (b *buffer) full(size int64) bool {
	return b.total+int64(len(b.batch))+size > b.limit || b.waiting.Load()+int64(len(b.placed)) >= b.limit/perFrame
}

// begin begins a new segment.
func (b *buffer) begin() error {
	path := filepath.Join(b.dir, fmt.Sprintf("%016x%s", b.number+1, suffix))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	b.number++
	b.segments = append(b.segments, &segment{file: file})
	return nil
}

// flush writes the batch to the newest segment.
func (b *buffer) flush() {
	if len(b.batch) == 0 {
		return
	}
	s := b.segments[len(b.segments)-1]
	_, err := s.file.WriteAt(b.batch, s.size)
	if b.failed = err != nil; b.failed {
		_ = s.file.Truncate(s.size) // else the start finds a torn end
	} else {
		s.size += int64(len(b.batch))
		b.total += int64(len(b.batch))
		s.add(len(b.placed))
		b.waiting.Add(int64(len(b.placed)))
	}
	for _, p := range b.placed {
		if err != nil {
			b.fail(p.offer, err)
		} else {
			p.queue.push(p.item)
		}
	}
	clear(b.placed)
	b.batch, b.placed = b.batch[:0], b.placed[:0]
	if cap(b.batch) > keepBatch {
		b.batch, b.placed = nil, nil
	}
}

// fail drops an offer that cannot be written.
func (b *buffer) fail(o *offer, err error) {
	o.queue.lose(len(o.frame))
	o.receipt.settle(errNotAcknowledged)
	b.dropped("disk", 1, err)
}

// drop drops a segment, and what waits in it.
func (b *buffer) drop(i int, reason string) {
	s := b.segments[i]
	frames := s.drop()
	b.waiting.Add(-int64(frames))
	b.dropped(reason, frames, nil)
	b.remove(i)
}

// remove removes a segment in which nothing waits.
func (b *buffer) remove(i int) {
	s := b.segments[i]
	b.total -= s.size
	_ = os.Remove(s.file.Name()) // what stays is sent once more
	_ = s.file.Close()
	b.segments = append(b.segments[:i], b.segments[i+1:]...)
}

// reclaim removes segments in which nothing waits, and has the newest begin again.
func (b *buffer) reclaim() {
	newest := len(b.segments) - 1
	for i := newest - 1; i >= 0; i-- {
		if b.segments[i].idle() {
			b.remove(i)
			newest--
		}
	}
	if newest >= 0 {
		s := b.segments[newest]
		large := b.failed || s.size > min(beginAgain, b.limit/segments/2)
		if large && s.idle() && s.file.Truncate(0) == nil {
			b.total -= s.size
			s.size = 0
		}
	}
	b.metrics.bytes.Set(float64(b.total))
}

// close removes what has nothing waiting and closes the rest.
func (b *buffer) close() error {
	var errs []error
	for _, s := range b.unread {
		errs = append(errs, s.file.Close())
	}
	for i := len(b.segments) - 1; i >= 0; i-- {
		if b.segments[i].idle() {
			b.remove(i)
		} else {
			errs = append(errs, b.segments[i].file.Close())
		}
	}
	return errors.Join(errs...)
}
