package redisstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	trimEvery = time.Second
	// trimStep is how many entries one command removes at most, so that Redis answers others in
	// between.
	trimStep = 10_000
)

// keepTrimmed trims the stream until ctx ends.
func (e *Engine) keepTrimmed(ctx context.Context) {
	failing := false
	for pause(ctx, trimEvery) {
		err := e.trim(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			e.log.Warn("trimming the redis stream fails", "error", e.classify(err))
		}
		failing = err != nil
	}
}

// trim removes the oldest entries above MaxLen that no consumer group needs any more.
func (e *Engine) trim(ctx context.Context) error {
	for ctx.Err() == nil {
		length, err := e.client.XLen(ctx, e.opt.Stream).Result()
		if err != nil || length <= e.opt.MaxLen {
			return err
		}
		needed, err := e.oldestNeeded(ctx)
		if err != nil {
			return err
		}
		step := min(length-e.opt.MaxLen, trimStep)
		var removed int64
		if needed == "" {
			removed, err = e.client.XTrimMaxLenApprox(ctx, e.opt.Stream, e.opt.MaxLen, step).Result()
		} else {
			removed, err = e.client.XTrimMinIDApprox(ctx, e.opt.Stream, needed, step).Result()
		}
		if err != nil || removed == 0 {
			return err
		}
	}
	return nil
}

// oldestNeeded is the smallest id such that some consumer group may need what comes at or after
// it; "" if there are no groups. A group that has been delivered nothing needs everything.
func (e *Engine) oldestNeeded(ctx context.Context) (string, error) {
	groups, err := e.client.XInfoGroups(ctx, e.opt.Stream).Result()
	if err != nil || len(groups) == 0 {
		return "", err
	}
	// The pending entries are asked for after the last delivered ids: so what is delivered in
	// between is above these ids or among the pending.
	pending := make([]*redis.XPendingCmd, len(groups))
	_, err = e.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, g := range groups {
			pending[i] = p.XPending(ctx, e.opt.Stream, g.Name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	var oldest streamID
	for i, g := range groups {
		needed, err := parseStreamID(g.LastDeliveredID)
		if err != nil {
			return "", err
		}
		if summary := pending[i].Val(); summary.Count > 0 {
			lowest, err := parseStreamID(summary.Lower)
			if err != nil {
				return "", err
			}
			needed = lower(needed, lowest)
		}
		if i == 0 {
			oldest = needed
		}
		oldest = lower(oldest, needed)
	}
	return oldest.String(), nil
}

// streamID is an entry's id: milliseconds, and a number within the millisecond.
type streamID struct{ ms, seq uint64 }

func parseStreamID(s string) (streamID, error) {
	ms, seq, ok := strings.Cut(s, "-")
	var id streamID
	var err1, err2 error
	id.ms, err1 = strconv.ParseUint(ms, 10, 64)
	id.seq, err2 = strconv.ParseUint(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return streamID{}, fmt.Errorf("redis names a stream entry %q, which is no id", s)
	}
	return id, nil
}

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func lower(a, b streamID) streamID {
	if a.ms < b.ms || a.ms == b.ms && a.seq < b.seq {
		return a
	}
	return b
}
