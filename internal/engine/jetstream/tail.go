package jetstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

const (
	tailPage  = 500                    // messages read at once
	tailPause = 100 * time.Millisecond // between looks at streams that had nothing new
)

// Tail reads the records' streams.
func (e *Engine) Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error {
	return e.tail(ctx, engine.KindRecord, fromStart, func(m *nats.Msg) error { return fn(m.Data) })
}

// TailMessages reads the messages' streams.
func (e *Engine) TailMessages(ctx context.Context, fromStart bool, fn func(m engine.Message) error) error {
	return e.tail(ctx, engine.KindMessage, fromStart, func(stored *nats.Msg) error {
		m, ok := parseMessage(stored, deviceIn(stored))
		if !ok {
			return nil
		}
		return fn(m)
	})
}

// deviceIn is the last word of a message's subject.
func deviceIn(m *nats.Msg) string {
	s := m.Header.Get(readSubject)
	return s[strings.LastIndexByte(s, '.')+1:]
}

// reader is how far a stream has been read.
type reader struct {
	kind  engine.Kind
	shard int
	next  uint64 // 0 = the stream has not been looked at yet
	old   bool   // begins with the oldest, not behind what is there at the first look
}

// tail reads all shards in turn, and goes on when they can be read again. It ends with ctx's error, with fn's, or with
// what only a change of settings cures.
func (e *Engine) tail(ctx context.Context, k engine.Kind, fromStart bool, fn func(*nats.Msg) error) error {
	readers := make([]reader, len(e.lanes))
	for shard := range readers {
		readers[shard] = reader{kind: k, shard: shard, old: fromStart}
	}
	state := health.Health{Every: failureEvery}
	retry := backoff.Backoff{First: tailPause, Max: 2 * time.Second}
	for {
		shown, failed := 0, error(nil)
		for i := range readers {
			n, err := e.show(ctx, &readers[i], fn)
			shown += n
			var trouble *engine.Error
			switch end := (*ended)(nil); {
			case err == nil:
			case errors.As(err, &end):
				return end.error
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, &trouble) && trouble.Transient:
				failed = err
			default:
				return err
			}
		}
		switch {
		case failed != nil:
			if _, due := state.Failed(failed); due {
				e.log.Warn("stored records cannot be read, trying again", "error", failed)
			}
			retry.Wait(ctx)
			continue
		case shown == 0:
			backoff.Pause(ctx, tailPause)
		}
		retry.Reset()
		if ended := state.Worked(); ended != nil {
			e.log.Info("stored records can be read again", "after", ended.Lasted())
		}
	}
}

// ended is the error of the function that is shown what is stored.
type ended struct{ error }

// show shows the next page of a stream, and returns how many messages it had.
func (e *Engine) show(ctx context.Context, r *reader, fn func(*nats.Msg) error) (int, error) {
	page, err := e.readOn(ctx, r)
	for _, m := range page {
		if err := ctx.Err(); err != nil {
			return len(page), err
		}
		if err := fn(m); err != nil {
			return len(page), &ended{err}
		}
		r.next = sequenceOf(m) + 1
	}
	if err == nil {
		err = ctx.Err()
	}
	return len(page), err
}

// readOn reads a page of a stream. A reader's first look finds out whether the stream is one of as many shards, so that
// none is left out: its page is empty, and so is one of a stream that nothing was stored in yet.
func (e *Engine) readOn(ctx context.Context, r *reader) (page []*nats.Msg, err error) {
	if r.next == 0 {
		info, err := e.info(ctx, r.kind, r.shard)
		switch {
		case errors.Is(err, errMissing):
			r.next, err = 1, nil
		case err == nil && r.old:
			r.next = 1
		case err == nil:
			r.next = info.State.LastSeq + 1
		}
		return nil, err
	}
	page, _, err = e.page(ctx, r, tailPage)
	if errors.Is(err, nats.ErrNoResponders) {
		if _, why := e.info(ctx, r.kind, r.shard); errors.Is(why, errMissing) {
			return nil, nil
		}
	}
	return page, err
}

// page reads so many messages of devices at the most, and says whether there are no more.
func (e *Engine) page(ctx context.Context, r *reader, count int) (page []*nats.Msg, end bool, err error) {
	if _, err := e.link.await(ctx); err != nil {
		return nil, false, err
	}
	page, end, err = e.link.read(ctx, streamName(r.kind, r.shard), readRequest{
		Sequence: r.next, Subject: subject(r.kind, r.shard, "*"), Count: count, Bytes: readBytes,
	})
	if err != nil {
		return nil, false, e.classify(r.kind, r.shard, err)
	}
	return page, end, nil
}
