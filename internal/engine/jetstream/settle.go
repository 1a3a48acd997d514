package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// When a part's confirmation is missing, nobody knows whether the part is stored, or will be: it may stand in a
// socket of a frozen server, or in the log of a leader without its followers. So each part depends on a subject on
// which there is no message, its fence. A message on the fence is stored after the part, or keeps it from being stored
// ever. Behind it the lane looks for the part, and the next part has another fence.

// settle finds out what has become of a part.
func (l *lane) settle(ctx context.Context) error {
	p := l.pending
	if p == nil {
		return nil
	}
	if err := l.closeFence(ctx, p); err != nil {
		return err
	}
	sequence, err := l.look(ctx, p)
	if err != nil {
		return l.e.classify(p.kind, p.shard, err)
	}
	l.pending = nil
	p.fences++
	if sequence > 0 {
		p.confirmed(sequence, p.count, p.id, time.Now())
		l.done[p.kind] = p.end
	}
	return nil
}

// fenceOf is the fence of parts that are written from now on.
func (p *position) fenceOf(run string) string {
	return fenceSubject(p.kind, p.shard, run+"-"+strconv.Itoa(p.fences))
}

func (l *lane) closeFence(ctx context.Context, p *pendingPart) error {
	if p.fenced {
		return nil
	}
	answer, err := l.e.link.ask(ctx, &nats.Msg{Subject: p.fence}, askPatience)
	if err != nil {
		return l.e.classify(p.kind, p.shard, err)
	}
	var stored confirmation
	if err := json.Unmarshal(answer.Data, &stored); err != nil {
		return l.e.classify(p.kind, p.shard, err)
	}
	if stored.Error != nil {
		return l.e.classify(p.kind, p.shard, stored.Error)
	}
	p.fenced = true
	return nil
}

// How often a replica is asked that does not know of the fence yet.
const (
	lookAgain = 50 * time.Millisecond
	looks     = 20
)

var errBehind = errors.New("a replica does not have the newest messages yet")

// look returns the last sequence of the part in the stream, 0 if it is not stored. Any replica may answer. If it has
// the fence, it has all before it.
func (l *lane) look(ctx context.Context, p *pendingPart) (uint64, error) {
	for range looks {
		sequence, err := l.lookOnce(ctx, p)
		if !errors.Is(err, errBehind) {
			return sequence, err
		}
		if !backoff.Pause(ctx, lookAgain) {
			break
		}
	}
	p.fenced = false // it may have been purged
	return 0, errBehind
}

func (l *lane) lookOnce(ctx context.Context, p *pendingPart) (uint64, error) {
	question := readRequest{Last: []string{p.lastSubject, p.fence}}
	found, _, err := l.e.link.read(ctx, streamName(p.kind, p.shard), question)
	if err != nil {
		return 0, err
	}
	var last *nats.Msg // of the device
	behind := true
	for _, m := range found {
		if m.Header.Get(readSubject) == p.fence {
			behind = false
		} else {
			last = m
		}
	}
	switch {
	case behind:
		return 0, errBehind
	case last != nil && last.Header.Get(headerBatch) == p.id:
		return sequenceOf(last), nil // also in a stream that has been made anew, where sequences begin again
	case last == nil || sequenceOf(last) <= p.newest:
		return 0, nil
	}
	return l.scan(ctx, p, sequenceOf(last))
}

// scanPage is how many messages are read at once that others have stored for the same device meanwhile.
const scanPage = 256

// scan looks for the part among the device's messages up to one that another instance has stored.
func (l *lane) scan(ctx context.Context, p *pendingPart, upTo uint64) (uint64, error) {
	for from := p.newest + 1; from <= upTo; {
		page, _, err := l.e.link.read(ctx, streamName(p.kind, p.shard),
			readRequest{Sequence: from, Subject: p.lastSubject, Count: scanPage, Bytes: readBytes})
		if err != nil {
			return 0, err
		}
		if len(page) == 0 {
			return 0, errBehind
		}
		for _, m := range page {
			if m.Header.Get(headerBatch) == p.id && m.Header.Get(headerSequence) == sequences[p.count] {
				return sequenceOf(m), nil
			}
			from = sequenceOf(m) + 1
		}
	}
	return 0, nil
}

// check says of the kinds that the batch is about whether what was stored of them still is.
func (l *lane) check(ctx context.Context, b *engine.Batch) error {
	now := time.Now()
	for k, p := range l.positions {
		due := b.Known[k] || count(b, p.kind) > 0 && now.Sub(p.checked) >= checkEvery
		if due {
			if err := l.e.look(ctx, p, now); err != nil && b.Known[k] {
				return fmt.Errorf("whether what was stored still is: %w", err)
			}
		}
		b.Epochs[k] = p.epoch
	}
	return nil
}
