package redisstream

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Dead letters are few and may be large, so they are read few at a time.
const deadPage = 16

// EachDeadLetter reads the dead letters' streams from their starts to what are their ends now, one shard after the
// other. An entry that is no dead letter is left out.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	return e.each(ctx, (*shard).deadStream, deadPage, func(ref string, fields map[string]any) error {
		if d, ok := parseDeadLetter(fields); ok {
			return fn(ref, d)
		}
		return nil
	})
}

// parseDeadLetter reads the fields that appendDeadLetter writes.
func parseDeadLetter(fields map[string]any) (d engine.DeadLetter, ok bool) {
	text := func(name string) string {
		value, _ := fields[name].(string)
		return value
	}
	received, err := time.Parse(timeLayout, text("ts"))
	if err != nil {
		return d, false
	}
	frame, err := hex.DecodeString(text("frame"))
	if err != nil {
		return d, false
	}
	return engine.DeadLetter{
		DeviceID: text("device_id"), Reason: text("reason"), Codec: text("codec"), Received: received, Frame: frame,
		Transport: text("transport"),
	}, true
}

// RemoveDeadLetters deletes the entries with these references.
func (e *Engine) RemoveDeadLetters(ctx context.Context, refs []string) error {
	if err := e.settled(ctx); err != nil {
		return err
	}
	of := map[*shard][]string{}
	for _, ref := range refs {
		s, id, err := e.parseRef(ref)
		if err != nil {
			return &engine.Error{Err: err}
		}
		of[s] = append(of[s], id)
	}
	for s, ids := range of {
		_, err := s.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, id := range ids {
				p.XDel(ctx, s.deadStream(), id)
			}
			return nil
		})
		if err != nil {
			return s.classify(err)
		}
	}
	return nil
}
