package redisstream

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Dead letters are few and may be large, so they are read few at a time.
const deadPage = 16

// EachDeadLetter reads the dead letters' stream from its start to what is its end now. The entries' ids are
// the refs. An entry that is no dead letter is left out.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	return e.each(ctx, deadStream(e.opt.Stream), deadPage, func(entry redis.XMessage) error {
		if d, ok := parseDeadLetter(entry.Values); ok {
			return fn(entry.ID, d)
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

// RemoveDeadLetters deletes the entries with these ids.
func (e *Engine) RemoveDeadLetters(ctx context.Context, refs []string) error {
	for _, ref := range refs {
		if _, err := parseStreamID(ref); err != nil {
			return &engine.Error{Err: fmt.Errorf("%q is no dead letter's reference, which looks like 1700000000000-0", ref)}
		}
	}
	_, err := e.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, ref := range refs {
			p.XDel(ctx, deadStream(e.opt.Stream), ref)
		}
		return nil
	})
	if err != nil {
		return e.classify(err)
	}
	return nil
}
