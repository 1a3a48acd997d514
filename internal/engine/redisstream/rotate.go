package redisstream

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Marks are bounded: when there are many, or they take much memory, all of them become the older ones, and what was
// older is dropped. Both are read. So a device loses its mark only when as many others have been heard of since.
const (
	mostMarks     = 1_000_000
	mostMarkBytes = 256 << 20
)

// rotateMarks makes the marks the older ones if they are too many.
func (t *trimmer) rotateMarks(ctx context.Context) error {
	if !t.e.opt.Recall || t.unmarked.Load() {
		return nil
	}
	c := t.client(ctx)
	if full, err := t.marksAreFull(ctx, c); err != nil || !full {
		return t.unreadable(err)
	}
	key, older := markKey(t.stream), olderMarkKey(t.stream)
	// Another instance that does the same changes the older ones. Then they are not dropped a second time.
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		if full, err := t.marksAreFull(ctx, tx); err != nil || !full {
			return err
		}
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Unlink(ctx, older)
			p.Rename(ctx, key, older)
			return nil
		})
		return err
	}, older)
	if errors.Is(err, redis.TxFailedErr) {
		return nil
	}
	return t.unreadable(err)
}

// marksAreFull asks for an estimate of the bytes, which costs Redis little.
func (t *trimmer) marksAreFull(ctx context.Context, c redis.Cmdable) (bool, error) {
	count, err := c.HLen(ctx, markKey(t.stream)).Result()
	if err != nil || count >= t.mostMarks {
		return err == nil, err
	}
	bytes, err := c.MemoryUsage(ctx, markKey(t.stream), 100).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return bytes >= t.mostMarkBytes, err
}
