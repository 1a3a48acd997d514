package redisstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

const (
	tailPage  = 500             // entries read at once
	tailBlock = 2 * time.Second // how long Redis waits for a new entry, below commandTimeout
)

// Tail reads the records' stream.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	return e.tail(ctx, (*shard).recordStream, fromStart, func(fields map[string]any) error {
		payload, ok := fields["payload"].(string)
		if !ok {
			return nil // somebody else's entry
		}
		return fn([]byte(payload))
	})
}

// TailMessages reads the messages' stream.
func (e *Engine) TailMessages(ctx context.Context, fromStart bool, fn func(m engine.Message) error) error {
	return e.tail(ctx, (*shard).messageStream, fromStart, func(fields map[string]any) error {
		m, ok := parseMessage(fields)
		if !ok {
			return nil
		}
		return fn(m)
	})
}

// tail reads the streams of all shards at once. It ends with ctx's error, with fn's, or with a refusal that only a
// change of settings cures.
func (e *Engine) tail(
	ctx context.Context, key func(*shard) string, fromStart bool, fn func(fields map[string]any) error,
) error {
	target, server := *e.target, *e.target.Server
	server.PoolSize = len(e.shards)
	target.Server = &server
	c := target.Reader()
	defer func() { _ = c.Close() }()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// Closing is what ends a command that waits for entries.
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()

	after := ""
	if fromStart {
		after = "0-0"
	}
	var reading sync.WaitGroup
	var showing sync.Mutex
	show := func(fields map[string]any) error {
		showing.Lock()
		defer showing.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fn(fields)
	}
	for _, s := range e.shards {
		reading.Go(func() {
			err := s.again(ctx, key(s), func() error { return e.settled(ctx) })
			if err == nil {
				err = s.tail(ctx, c, key(s), after, show)
			}
			end(err)
		})
	}
	reading.Wait()
	return context.Cause(ctx)
}

// tail reads a stream behind the entry of that id, and goes on after a lost connection, behind the last entry seen.
func (s *shard) tail(
	ctx context.Context, c redis.Cmdable, stream, after string, fn func(fields map[string]any) error,
) error {
	for {
		var entries []redis.XMessage
		err := s.again(ctx, stream, func() (err error) {
			entries, err = readAfter(ctx, c, stream, &after)
			return err
		})
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := fn(entry.Values); err != nil {
				return err
			}
			after = entry.ID
		}
	}
}

// again asks until there is an answer, or a refusal that only a change of settings cures.
func (s *shard) again(ctx context.Context, stream string, ask func() error) error {
	var retry backoff
	for ctx.Err() == nil {
		err := ask()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		failure := s.classify(err)
		if !failure.Transient {
			return failure
		}
		s.log.Warn("stored records cannot be read, trying again", "stream", stream, "error", failure)
		retry.failed()
		pause(ctx, retry.left())
	}
	return ctx.Err()
}

// readAfter waits for entries behind *after. If that is empty it is set to the stream's end first:
// once it is an id, no entry is missed while there is no connection.
func readAfter(
	ctx context.Context, c redis.Cmdable, stream string, after *string,
) ([]redis.XMessage, error) {
	if *after == "" {
		end := position{key: stream}
		if err := end.find(ctx, c); err != nil {
			return nil, err
		}
		*after = string(end.newest)
		if *after == "" {
			*after = "$"
		}
	}
	streams, err := c.XRead(ctx, &redis.XReadArgs{
		Streams: []string{stream, *after}, Count: tailPage, Block: tailBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil || len(streams) == 0 {
		return nil, err
	}
	return streams[0].Messages, nil
}
