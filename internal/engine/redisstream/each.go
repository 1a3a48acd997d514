package redisstream

import "context"

// EachRecord reads the records' streams from their starts to what are their ends now, one shard after the other.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	return e.each(ctx, (*shard).recordStream, tailPage, func(ref string, fields map[string]any) error {
		if payload, ok := fields["payload"].(string); ok {
			return fn(ref, []byte(payload))
		}
		return nil // somebody else's entry
	})
}

// each calls fn with every entry that the streams have at its call, oldest first, and reads a page at a time.
func (e *Engine) each(
	ctx context.Context, key func(*shard) string, pageSize int64, fn func(ref string, fields map[string]any) error,
) error {
	if err := e.settled(ctx); err != nil {
		return err
	}
	ends := make([]string, len(e.shards))
	for i, s := range e.shards {
		newest, err := s.client(ctx).XRevRangeN(ctx, key(s), "+", "-", 1).Result()
		if err != nil {
			return s.classify(err)
		}
		if len(newest) > 0 {
			ends[i] = newest[0].ID
		}
	}
	for i, s := range e.shards {
		if ends[i] == "" {
			continue
		}
		if err := s.each(ctx, key(s), ends[i], pageSize, fn); err != nil {
			return err
		}
	}
	return nil
}

// each reads one stream up to an entry.
func (s *shard) each(
	ctx context.Context, key, last string, pageSize int64, fn func(ref string, fields map[string]any) error,
) error {
	for after := "-"; ; {
		page, err := s.client(ctx).XRangeN(ctx, key, after, last, pageSize).Result()
		if err != nil {
			return s.classify(err)
		}
		for _, entry := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(s.ref(entry.ID), entry.Values); err != nil {
				return err
			}
		}
		if len(page) < int(pageSize) {
			return nil
		}
		after = "(" + page[len(page)-1].ID
	}
}
