package redisstream

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// EachRecord reads the records' stream from its start to what is its end now. The entries' ids are the refs.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	return e.each(ctx, e.opt.Stream, tailPage, func(entry redis.XMessage) error {
		if payload, ok := entry.Values["payload"].(string); ok {
			return fn(entry.ID, []byte(payload))
		}
		return nil // somebody else's entry
	})
}

// each calls fn with every entry that a stream has at its call, oldest first, and reads a page at a time.
func (e *Engine) each(ctx context.Context, stream string, pageSize int64, fn func(entry redis.XMessage) error) error {
	newest, err := e.client(ctx).XRevRangeN(ctx, stream, "+", "-", 1).Result()
	if err != nil {
		return e.classify(err)
	}
	if len(newest) == 0 {
		return nil
	}
	for after := "-"; ; {
		page, err := e.client(ctx).XRangeN(ctx, stream, after, newest[0].ID, pageSize).Result()
		if err != nil {
			return e.classify(err)
		}
		for _, entry := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(entry); err != nil {
				return err
			}
		}
		if len(page) < int(pageSize) {
			return nil
		}
		after = "(" + page[len(page)-1].ID
	}
}
