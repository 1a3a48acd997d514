package redisstream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// deadRoom bounds the dead letters' stream, read or not, because they come from devices. Their number is bounded now
// and then. Their bytes are bounded before a batch is written, because a flood of large frames brings gigabytes in
// between. Redis is asked how much memory the stream takes, which walks over all of it; so it is asked only when a part
// of the room that was left has been written.
type deadRoom struct {
	client   *redis.Client
	log      *slog.Logger
	stream   string
	maxLen   int64 // approximate number; 0 = no bound
	maxBytes int64 // 0 = no bound

	size atomic.Int64 // bytes, as far as this process knows

	mu      sync.Mutex // of batches with dead letters only
	left    int64      // bytes that may be written before Redis is asked again
	writing int64      // bytes that lanes are about to write
	asked   time.Time
	warned  time.Time
}

const (
	// leastDead is the number below which dead letters are never removed for their number.
	leastDead = 10_000
	// deadOverhead is about what a dead letter takes beside its frame in hex. Redis' allocator may add a quarter of all.
	deadOverhead = 256
	// deadFree is which part of the bytes is free after the oldest dead letters were removed, one in so many, and which
	// part of the room that is left may be written before Redis is asked again. Instances do not know what others write:
	// eight of them stay within the bound.
	deadFree = 8
	// deadPart is which part of the bytes may be written in any case before Redis is asked again, one in so many.
	deadPart = 64
	// lookEvery is how often Redis is asked in any case.
	lookEvery = 10 * time.Second
)

func newDeadRoom(e *Engine) *deadRoom {
	d := &deadRoom{client: e.client, log: e.log, stream: deadStream(e.opt.Stream), maxBytes: e.opt.DeadMaxBytes}
	if e.opt.MaxLen > 0 {
		d.maxLen = max(e.opt.MaxLen/10, leastDead)
	}
	return d
}

// makeRoom removes the oldest dead letters if need be, so that those of the batch stay within the bytes. written has to
// be called when they are written, or are not.
func (d *deadRoom) makeRoom(ctx context.Context, b *engine.Batch) (written func(), err error) {
	if d.maxBytes == 0 || len(b.DeadLetters) == 0 {
		return func() {}, nil
	}
	n := int64(0)
	for i := range b.DeadLetters {
		n += int64(2*len(b.DeadLetters[i].Frame)+deadOverhead) * 5 / 4
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left < n {
		if err := d.look(ctx, n); err != nil {
			return nil, err
		}
	}
	d.left -= n
	d.writing += n
	d.size.Add(n)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.writing -= n
	}, nil
}

// trim removes what is too much by now, by number or by what others have written.
func (d *deadRoom) trim(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.trimNumber(ctx); err != nil {
		return err
	}
	if d.maxBytes == 0 || time.Since(d.asked) < lookEvery {
		return nil
	}
	return d.look(ctx, 0)
}

func (d *deadRoom) trimNumber(ctx context.Context) error {
	for d.maxLen > 0 && ctx.Err() == nil {
		n, err := d.client.XTrimMaxLenApprox(ctx, d.stream, d.maxLen, trimStep).Result()
		if err != nil || n == 0 {
			return err
		}
		d.noteRemoved(d.maxLen)
	}
	return nil
}

// look asks Redis, and removes what is too much together with n bytes more. A user who may not ask has the number alone
// bounded.
func (d *deadRoom) look(ctx context.Context, n int64) error {
	part := d.maxBytes / deadPart
	n += d.writing
	size, err := d.measure(ctx)
	if err == nil && size+n+part > d.maxBytes {
		size, err = d.remove(ctx, size, max(0, d.maxBytes-d.maxBytes/deadFree-n))
	}
	if err != nil && !optional(err) {
		return err
	}
	d.asked = time.Now()
	d.size.Store(size + d.writing)
	d.left = max(n, (d.maxBytes-size-n)/deadFree, part)
	return nil
}

// measure is how much memory the stream takes.
func (d *deadRoom) measure(ctx context.Context) (int64, error) {
	size, err := d.client.MemoryUsage(ctx, d.stream, 0).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return size, err
}

// remove removes the oldest dead letters until all take no more than target, and returns what they take then. Their
// sizes differ, so not all that seems too much goes at once.
func (d *deadRoom) remove(ctx context.Context, size, target int64) (int64, error) {
	for size > target {
		length, err := d.client.XLen(ctx, d.stream).Result()
		if err != nil || length == 0 {
			return size, err
		}
		oldest, err := d.client.XRangeN(ctx, d.stream, "-", "+", deadPage).Result()
		if err != nil {
			return size, err
		}
		count := min((size-target)/meanSize(oldest)+1, length/16+1, trimStep)
		if err := d.client.XTrimMaxLen(ctx, d.stream, length-count).Err(); err != nil {
			return size, err
		}
		d.noteRemoved(d.maxBytes)
		if size, err = d.measure(ctx); err != nil {
			return size, err
		}
	}
	return size, nil
}

func meanSize(entries []redis.XMessage) int64 {
	sum := 0
	for _, entry := range entries {
		frame, _ := entry.Values["frame"].(string)
		sum += len(frame) + deadOverhead
	}
	return int64(max(1, sum/max(1, len(entries))))
}

// noteRemoved warns, once in a while, that dead letters were removed for new ones.
func (d *deadRoom) noteRemoved(limit int64) {
	if time.Since(d.warned) < warnEvery {
		return
	}
	d.warned = time.Now()
	d.log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time", "limit", limit)
}
