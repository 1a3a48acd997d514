package redisstream

import (
	"context"
	"errors"
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
	// warnEvery is how often a state that lasts is logged.
	warnEvery = time.Minute
)

// leastDead is the length below which the dead letters' stream is never trimmed.
const leastDead = 10_000

// maxDead is the approximate length that the dead letters' stream is trimmed to.
func (o *Options) maxDead() int64 { return max(o.MaxLen/10, leastDead) }

// trimmer is the background work that keeps the streams short.
type trimmer struct {
	*Engine
	failing bool
	behind  bool      // a group has more unread than MaxLen
	warned  time.Time // when that was logged last
	buried  time.Time // when it was logged last that dead letters were removed
}

// run trims until ctx ends.
func (t *trimmer) run(ctx context.Context) {
	for pause(ctx, trimEvery) {
		err := errors.Join(t.trim(ctx), t.trimDead(ctx))
		if err != nil && !t.failing && ctx.Err() == nil {
			t.log.Warn("trimming the redis stream fails", "error", t.classify(err))
		}
		t.failing = err != nil
	}
}

// trim removes the oldest entries above MaxLen that no consumer group needs any more.
func (t *trimmer) trim(ctx context.Context) error {
	for ctx.Err() == nil {
		length, err := t.client.XLen(ctx, t.opt.Stream).Result()
		if err != nil {
			return err
		}
		if length <= t.opt.MaxLen {
			t.noteBacklog(group{}, 0)
			return nil
		}
		groups, err := t.readers(ctx)
		if err != nil {
			return err
		}
		t.noteBacklog(t.slowest(groups, length))
		removed, err := t.removeOldest(ctx, groups, min(length-t.opt.MaxLen, trimStep))
		if err != nil || removed == 0 {
			return err
		}
	}
	return nil
}

// removeOldest removes up to limit entries.
func (t *trimmer) removeOldest(ctx context.Context, groups []group, limit int64) (removed int64, err error) {
	if len(groups) == 0 {
		return t.client.XTrimMaxLenApprox(ctx, t.opt.Stream, t.opt.MaxLen, limit).Result()
	}
	needed, err := t.oldestNeeded(ctx, groups)
	if err != nil {
		return 0, err
	}
	return t.client.XTrimMinIDApprox(ctx, t.opt.Stream, needed.String(), limit).Result()
}

func (t *trimmer) readers(ctx context.Context) ([]group, error) {
	answer, err := t.client.Do(ctx, "XINFO", "GROUPS", t.opt.Stream).Result()
	return parseGroups(answer), err
}

// oldestNeeded is the smallest id such that one of the groups may need what comes at or after it.
// A group that has been delivered nothing needs everything.
func (t *trimmer) oldestNeeded(ctx context.Context, groups []group) (oldest streamID, err error) {
	// The pending entries are asked for after the last delivered ids: so what is delivered in
	// between is above these ids or among the pending.
	pending := make([]*redis.XPendingCmd, len(groups))
	_, err = t.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, g := range groups {
			pending[i] = p.XPending(ctx, t.opt.Stream, g.name)
		}
		return nil
	})
	if err != nil {
		return oldest, err
	}
	for i, g := range groups {
		needed, err := parseStreamID(g.delivered)
		if err != nil {
			return oldest, err
		}
		if summary := pending[i].Val(); summary.Count > 0 {
			lowest, err := parseStreamID(summary.Lower)
			if err != nil {
				return oldest, err
			}
			needed = lower(needed, lowest)
		}
		if i == 0 {
			oldest = needed
		}
		oldest = lower(oldest, needed)
	}
	return oldest, nil
}

// slowest is the group with the most unread entries, and how many those are. Of a group that Redis
// cannot tell, as before its first read, that is all, but only once the stream is clearly too long.
func (t *trimmer) slowest(groups []group, length int64) (slow group, unread int64) {
	for _, g := range groups {
		n := g.unread()
		if n < 0 && length > t.opt.MaxLen+t.opt.MaxLen/10+trimStep {
			n = length
		}
		if n > unread {
			slow, unread = g, n
		}
	}
	return slow, unread
}

// noteBacklog warns, once in a while, that a group has not read more than the stream is meant to
// hold. It is kept all the same, and grows until somebody reads it or Redis is full.
func (t *trimmer) noteBacklog(slow group, unread int64) {
	if unread <= t.opt.MaxLen {
		if t.behind {
			t.log.Info("unread records are within the stream's limit again")
		}
		t.behind = false
		return
	}
	t.behind = true
	if time.Since(t.warned) < warnEvery {
		return
	}
	t.warned = time.Now()
	t.log.Warn("unread records exceed the stream's limit and are kept: make the consumer group read, or destroy the group",
		"group", slow.name, "unread", unread, "limit", t.opt.MaxLen)
}

// trimDead removes the oldest dead letters above their own limit, read or not: they come from
// devices, so something has to bound them.
func (t *trimmer) trimDead(ctx context.Context) error {
	stream, limit := deadStream(t.opt.Stream), t.opt.maxDead()
	removed := int64(0)
	for ctx.Err() == nil {
		n, err := t.client.XTrimMaxLenApprox(ctx, stream, limit, trimStep).Result()
		if err != nil {
			return err
		}
		if removed += n; n == 0 {
			break
		}
	}
	if removed > 0 && time.Since(t.buried) >= warnEvery {
		t.buried = time.Now()
		t.log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time", "limit", limit)
	}
	return nil
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
