package jetstream

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Dead letters are few and may be large, so they are read few at a time.
const deadPage = 16

// ref names a dead letter or record: its shard, its sequence, and when the stream was made, because another one in its
// place begins with the same sequences again.
type ref struct {
	shard    int
	sequence uint64
	made     int64 // ms since 1970
}

func (r ref) String() string {
	return fmt.Sprintf("%d-%d-%s", r.shard, r.sequence, strconv.FormatInt(r.made, 36))
}

var refs = regexp.MustCompile(`^([0-9]{1,2})-([1-9][0-9]{0,18})-([0-9a-z]{1,12})$`)

func (e *Engine) parseRef(text string) (r ref, err error) {
	parts := refs.FindStringSubmatch(text)
	if parts == nil {
		return r, fmt.Errorf("%q is no dead letter's reference, which looks like 0-17-%s",
			text, strconv.FormatInt(1700000000000, 36))
	}
	r.shard, _ = strconv.Atoi(parts[1])
	if r.sequence, err = strconv.ParseUint(parts[2], 10, 64); err == nil {
		r.made, err = strconv.ParseInt(parts[3], 36, 64)
	}
	if r.shard >= len(e.lanes) {
		err = fmt.Errorf("%q is of another number of shards", text)
	}
	return r, err
}

// EachDeadLetter reads the dead letters' streams.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	return e.each(ctx, engine.KindDeadLetter, deadPage, func(ref string, m *nats.Msg) error {
		d, ok := parseDeadLetter(m, deviceIn(m))
		if !ok {
			return nil
		}
		return fn(ref, d)
	})
}

// EachRecord reads the records' streams.
func (e *Engine) EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error {
	return e.each(ctx, engine.KindRecord, tailPage, func(ref string, m *nats.Msg) error { return fn(ref, m.Data) })
}

// each reads the streams of a kind up to what is their ends now, one shard after the other.
func (e *Engine) each(ctx context.Context, k engine.Kind, page int, fn func(ref string, m *nats.Msg) error) error {
	var streams []*jetstream.StreamInfo
	for shard := range e.lanes {
		info, err := e.info(ctx, k, shard)
		if err != nil {
			return err
		}
		streams = append(streams, info)
	}
	for shard, info := range streams {
		if err := e.eachOf(ctx, reader{kind: k, shard: shard, next: 1}, page, info, fn); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) eachOf(
	ctx context.Context, r reader, count int, info *jetstream.StreamInfo, fn func(string, *nats.Msg) error,
) error {
	for r.next <= info.State.LastSeq {
		page, end, err := e.page(ctx, &r, count)
		if err != nil {
			return err
		}
		for _, m := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			sequence := sequenceOf(m)
			if r.next = sequence + 1; sequence > info.State.LastSeq {
				return nil
			}
			if err := fn(ref{r.shard, sequence, info.Created.UnixMilli()}.String(), m); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
	return nil
}

// RemoveDeadLetters deletes the messages with these references.
func (e *Engine) RemoveDeadLetters(ctx context.Context, texts []string) error {
	var all []ref
	for _, text := range texts {
		r, err := e.parseRef(text)
		if err != nil {
			return &engine.Error{Err: err}
		}
		all = append(all, r)
	}
	for _, r := range all {
		if err := e.removeDead(ctx, r); err != nil {
			return e.classify(engine.KindDeadLetter, r.shard, err)
		}
	}
	return nil
}

func (e *Engine) removeDead(ctx context.Context, r ref) error {
	ctx, cancel := e.link.during(ctx, 2*askPatience)
	defer cancel()
	js, err := e.api(ctx)
	if err != nil {
		return err
	}
	name := streamName(engine.KindDeadLetter, r.shard)
	s, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	if s.CachedInfo().Created.UnixMilli() != r.made {
		return nil // it went with its stream
	}
	if _, there, err := e.link.batchOf(ctx, name, r.sequence); err != nil || !there {
		return err
	}
	err = s.DeleteMsg(ctx, r.sequence)
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeNoMessage {
		return nil
	}
	return err
}
