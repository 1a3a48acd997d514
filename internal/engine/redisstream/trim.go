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

// trimmer is the background work that keeps the streams short.
type trimmer struct {
	*shard
	lease   *lease
	streams []*readStream
	failing bool
	warned  time.Time // that dead letters were removed for their number

	mostMarks, mostMarkBytes int64
}

// leastDead is the number below which dead letters are never removed for their number.
const leastDead = 10_000

// readStream is a stream that consumer groups read: what one of them still needs is kept.
type readStream struct {
	*shard
	key    string
	behind bool      // a group has more unread than MaxLen
	warned time.Time // when that was logged last
}

func newTrimmer(s *shard) *trimmer {
	return &trimmer{
		shard: s, lease: newLease(s), mostMarks: s.part(mostMarks), mostMarkBytes: s.part(mostMarkBytes),
		streams: []*readStream{{shard: s, key: s.stream}, {shard: s, key: s.messageStream()}},
	}
}

// run trims until ctx ends.
func (t *trimmer) run(ctx context.Context) {
	for pause(ctx, trimEvery) {
		err := t.round(ctx)
		if err != nil && !t.failing && ctx.Err() == nil {
			t.log.Warn("trimming the redis stream fails", "error", t.classify(err))
		}
		t.failing = err != nil
	}
}

// round trims all streams, unless another instance does.
func (t *trimmer) round(ctx context.Context) error {
	if mine, err := t.lease.take(ctx); !mine {
		return err
	}
	err := errors.Join(t.trimDead(ctx), t.dead.trim(ctx), t.messages.trim(ctx), t.rotateMarks(ctx))
	for _, s := range t.streams {
		err = errors.Join(err, s.trim(ctx))
	}
	if err != nil {
		return err // another instance may be able to: its user or its way to Redis may be another one
	}
	return t.lease.renew(ctx)
}

// mostDead is about how many dead letters are kept.
func (t *trimmer) mostDead() int64 { return max(t.maxLen/10, leastDead) }

// trimDead removes dead letters for their number, read or not, because they come from devices.
func (t *trimmer) trimDead(ctx context.Context) error {
	limit := t.mostDead()
	for t.maxLen > 0 && ctx.Err() == nil {
		n, err := t.client(ctx).XTrimMaxLenApprox(ctx, t.deadStream(), limit, trimStep).Result()
		if err != nil || n == 0 {
			return err
		}
		if time.Since(t.warned) >= warnEvery {
			t.warned = time.Now()
			noteDeadRemoved(t.log, limit)
		}
	}
	return nil
}

// trim removes the oldest entries above MaxLen that no consumer group needs any more.
func (s *readStream) trim(ctx context.Context) error {
	for s.maxLen > 0 && ctx.Err() == nil {
		length, err := s.client(ctx).XLen(ctx, s.key).Result()
		if err != nil {
			return err
		}
		if length <= s.maxLen {
			s.noteBacklog(group{}, 0)
			return nil
		}
		groups, err := s.readers(ctx)
		if err != nil {
			return err
		}
		s.noteBacklog(s.slowest(groups, length))
		removed, err := s.removeOldest(ctx, groups, min(length-s.maxLen, trimStep))
		if err != nil || removed == 0 {
			return err
		}
	}
	return nil
}

// removeOldest removes up to limit entries.
func (s *readStream) removeOldest(ctx context.Context, groups []group, limit int64) (removed int64, err error) {
	if len(groups) == 0 {
		return s.client(ctx).XTrimMaxLenApprox(ctx, s.key, s.maxLen, limit).Result()
	}
	needed, err := s.oldestNeeded(ctx, groups)
	if err != nil {
		return 0, err
	}
	return s.client(ctx).XTrimMinIDApprox(ctx, s.key, needed.String(), limit).Result()
}

func (s *readStream) readers(ctx context.Context) ([]group, error) {
	answer, err := s.client(ctx).Do(ctx, "XINFO", "GROUPS", s.key).Result()
	return parseGroups(answer), err
}

// oldestNeeded is the smallest id such that one of the groups may need what comes at or after it.
// A group that has been delivered nothing needs everything.
func (s *readStream) oldestNeeded(ctx context.Context, groups []group) (oldest streamID, err error) {
	// The pending entries are asked for after the last delivered ids: so what is delivered in
	// between is above these ids or among the pending.
	pending := make([]*redis.XPendingCmd, len(groups))
	_, err = s.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, g := range groups {
			pending[i] = p.XPending(ctx, s.key, g.name)
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

// slowest is the group with the most unread entries, and how many those are: -1 if Redis cannot tell of
// a group, as before its first read, and no other one is behind. Once the stream is clearly too long, what
// cannot be told is all.
func (s *readStream) slowest(groups []group, length int64) (slow group, unread int64) {
	known := true
	for _, g := range groups {
		n := g.unread()
		if n < 0 && length > s.maxLen+s.maxLen/10+trimStep {
			n = length
		}
		known = known && n >= 0
		if n > unread {
			slow, unread = g, n
		}
	}
	if !known && unread <= s.maxLen {
		return group{}, -1
	}
	return slow, unread
}

// noteBacklog warns, once in a while, that a group has not read more than the stream is meant to
// hold. It is kept all the same, and grows until somebody reads it or Redis is full.
func (s *readStream) noteBacklog(slow group, unread int64) {
	if unread < 0 {
		return
	}
	if unread <= s.maxLen {
		if s.behind {
			s.log.Info("unread records are within the stream's limit again", "stream", s.key)
		}
		s.behind = false
		return
	}
	s.behind = true
	if time.Since(s.warned) < warnEvery {
		return
	}
	s.warned = time.Now()
	s.log.Warn("unread records exceed the stream's limit and are kept: make the consumer group read, or destroy the group",
		"stream", s.key, "group", slow.name, "unread", unread, "limit", s.maxLen)
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
