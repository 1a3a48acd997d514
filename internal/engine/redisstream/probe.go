package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Probe finds out whether Redis would store a record. It uses connections of its own, so lanes
// that wait for Redis do not delay it.
func (e *Engine) Probe(ctx context.Context) (engine.Status, error) {
	if e.cluster != nil {
		return e.probeShards(ctx)
	}
	return e.shards[0].probe(ctx)
}

func (s *shard) probe(ctx context.Context) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	q, err := s.question(ctx)
	if err != nil {
		return engine.Status{}, s.classify(err)
	}
	status := engine.Status{Known: q.length.Err() == nil, Length: q.length.Val(), Limit: s.maxLen,
		DeadLetterBytes: s.dead.size.Load(), DeadLetterLimit: s.dead.maxBytes,
		MessageBytes: s.messages.size.Load(), MessageLimit: s.messages.maxBytes, MessagesRemoved: s.messages.removed.Load(),
	}
	status.Memory, status.MemoryLimit = parseMemory(q.memory.Val())
	if status.Groups, err = s.groups(ctx, q); err != nil {
		return engine.Status{}, s.classify(err)
	}
	if err := refusedForItsID(q.add.Err()); err != nil {
		answer, _ := asRefusal(err)
		status.OutOfMemory = answer.code() == "OOM"
		return status, s.classify(err)
	}
	for kind, side := range map[string]sideStream{"dead letters": q.dead, "messages": q.messages} {
		if err := side.refused(); err != nil {
			failure := s.classify(err)
			failure.Err = fmt.Errorf("%s: %w", kind, failure.Err)
			return status, failure
		}
	}
	if err := q.length.Err(); err != nil && !optional(err) {
		return engine.Status{}, s.classify(err)
	}
	if err := s.probeDurability(ctx); err != nil {
		return status, s.classify(err)
	}
	return status, nil
}

// question is what a probe asks at once.
type question struct {
	add, groups    *redis.Cmd
	dead, messages sideStream

	length *redis.IntCmd
	memory *redis.StringCmd
	now    *redis.TimeCmd
}

// sideStream is what is asked about the stream of dead letters, and about that of messages.
type sideStream struct {
	add    *redis.Cmd
	length *redis.IntCmd // Redis refuses the id 0-0 before it looks whether the key is a stream
}

func askSide(ctx context.Context, p redis.Pipeliner, stream string) sideStream {
	return sideStream{p.Do(ctx, "XADD", stream, "0-0", "probe", ""), p.XLen(ctx, stream)}
}

// refused says why nothing would be stored in it.
func (s *sideStream) refused() error {
	if err := refusedForItsID(s.add.Err()); err != nil {
		return err
	}
	if err := s.length.Err(); err != nil && !optional(err) {
		return err
	}
	return nil
}

// question asks. An error says that there was no answer.
func (s *shard) question(ctx context.Context) (q question, err error) {
	stream := s.stream
	_, err = s.client(ctx).Pipelined(ctx, func(p redis.Pipeliner) error {
		// An XADD with the one id that no stream accepts: Redis looks first whether it takes
		// writes of this user to this key at all, then refuses the id. So it is refused either
		// way, and how it is refused is the answer.
		q.add = p.Do(ctx, "XADD", stream, "0-0", "probe", "")
		q.dead = askSide(ctx, p, s.deadStream())
		q.messages = askSide(ctx, p, s.messageStream())
		q.length = p.XLen(ctx, stream)
		q.groups = p.Do(ctx, "XINFO", "GROUPS", stream)
		q.memory = p.Info(ctx, "memory")
		q.now = p.Time(ctx)
		return nil
	})
	if _, answered := asRefusal(q.add.Err()); answered {
		return q, nil
	}
	if err == nil {
		err = errors.New("redis accepted an entry with the id 0-0")
	}
	return q, err
}

// refusedForItsID turns the refusal that the probing XADD is meant to get into success.
func refusedForItsID(err error) error {
	if strings.Contains(err.Error(), "must be greater than 0-0") {
		return nil
	}
	return err
}

// probeDurability finds out whether a batch could be confirmed.
func (s *shard) probeDurability(ctx context.Context) error {
	switch d := s.e.opt.Durability; {
	case d.Fsync && d.Replicas > 0:
		fsynced, err := s.client(ctx).Do(ctx, "WAITAOF", 1, d.Replicas, replicasTryMillis).Int64Slice()
		if err == nil && len(fsynced) != 2 {
			err = fmt.Errorf("redis answered a WAITAOF with %d numbers", len(fsynced))
		}
		if err != nil {
			return quorumRefused(err)
		}
		return missingFsync(fsynced[0], fsynced[1], int64(d.Replicas))
	case d.Replicas > 0:
		n, err := s.client(ctx).Do(ctx, "WAIT", d.Replicas, replicasTryMillis).Int64()
		if err == nil && n < int64(d.Replicas) {
			err = tooFewReplicas(n, int64(d.Replicas))
		}
		return err
	case d.Fsync:
		err := s.client(ctx).Do(ctx, "WAITAOF", 1, 0, 1).Err()
		if !unknownCommand(err) {
			return fsyncRefused(err)
		}
		settings, err := s.client(ctx).ConfigGet(ctx, "append*").Result()
		if err != nil {
			return fsyncRefused(err)
		}
		if settings["appendonly"] != "yes" || settings["appendfsync"] != "always" {
			return &engine.Error{Err: errNoFsync}
		}
	}
	return nil
}

// parseMemory reads INFO memory: what counts towards maxmemory, and maxmemory; 0 for what is not
// said.
func parseMemory(text string) (used, limit int64) {
	info := parseInfo(text)
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64)
		return n
	}
	return number("used_memory") - number("mem_not_counted_for_evict"), number("maxmemory")
}
