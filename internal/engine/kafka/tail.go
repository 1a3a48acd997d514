package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// tailWait is how long the broker holds a read that has nothing to show yet, and tailBytes what it gives at once: each
// broker's part is in memory, where documents take ten times as much once they are unpacked.
const (
	tailWait  = 500 * time.Millisecond
	tailBytes = 1 << 20
)

// Tail reads all partitions, without a group.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	return e.follow(ctx, engine.KindRecord, fromStart, func(r *kgo.Record) error { return fn(r.Value) })
}

// TailMessages is Tail for messages. What is no message is left out.
func (e *Engine) TailMessages(ctx context.Context, fromStart bool, fn func(m engine.Message) error) error {
	return e.follow(ctx, engine.KindMessage, fromStart, func(r *kgo.Record) error {
		m, ok := parseMessage(r)
		if !ok {
			return nil
		}
		return fn(m)
	})
}

func parseMessage(r *kgo.Record) (m engine.Message, ok bool) {
	kind, err := strconv.ParseUint(header(r, headerType), 10, 8)
	if err != nil {
		return m, false
	}
	m = engine.Message{DeviceID: string(r.Key), Codec: header(r, headerCodec), Type: byte(kind)}
	if m.Received, err = time.Parse(timeLayout, header(r, headerTime)); err != nil {
		return m, false
	}
	if sent := header(r, headerSent); sent != "" {
		if m.Sent, err = time.Parse(timeLayout, sent); err != nil {
			return m, false
		}
	}
	m.Payload, err = hex.DecodeString(string(r.Value))
	return m, err == nil
}

// follow calls fn with every record of the topic, also of partitions that are added meanwhile.
func (e *Engine) follow(ctx context.Context, k engine.Kind, fromStart bool, fn func(*kgo.Record) error) error {
	at := kgo.NewOffset().AtEnd()
	if fromStart {
		at = kgo.NewOffset().AtStart()
	}
	l, err := e.await(ctx)
	if err != nil {
		return err
	}
	if len(l.topics[k].partitions) == 0 {
		return e.classify(l.wrong)
	}
	opts, err := e.opt.connection()
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(e.topics[k]), kgo.ConsumeStartOffset(at),
		kgo.FetchMaxWait(tailWait), kgo.FetchMaxBytes(tailBytes))...)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		polled := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		for it := polled.RecordIter(); !it.Done(); {
			if err := fn(it.Next()); err != nil {
				return err
			}
		}
		if err := fatal(polled); err != nil {
			return e.classify(err)
		}
	}
}

// await asks for the topics until it is told, or refused.
func (e *Engine) await(ctx context.Context) (*layout, error) {
	retry := backoff.Backoff{First: tailWait, Max: maxAwait}
	for {
		l, err := e.ask(ctx)
		if err == nil {
			return l, nil
		}
		refused := e.classify(err)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !refused.Transient:
			return nil, refused
		}
		e.log.Warn("stored records cannot be read, trying again", "error", refused)
		retry.Wait(ctx)
	}
}

// maxAwait is the longest pause between questions to brokers that are away.
const maxAwait = 10 * time.Second

// fatal is an error after which the client reads nothing more of a partition.
func fatal(polled kgo.Fetches) (err error) {
	polled.EachError(func(_ string, _ int32, cause error) {
		var refused *kerr.Error
		if errors.As(cause, &refused) && !refused.Retriable {
			err = cause
		}
	})
	return err
}
