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
//
// A part is stored whole or not at all, but where the only copy's server was killed meanwhile: nats-server 2.15.3 came
// back with a part's first messages alone, with sync_interval: always too. The lane then writes the rest.

// settle finds out what has become of a part.
func (l *lane) settle(ctx context.Context) error {
	p := l.pending
	if p == nil {
		return nil
	}
	if err := l.closeFence(ctx, p); err != nil {
		return err
	}
	there, err := l.look(ctx, p)
	if err != nil {
		return l.e.classify(p.kind, p.shard, err)
	}
	l.pending = nil
	p.fences++
	if there.count > 0 {
		p.confirmed(there.last, there.count, p.id, time.Now())
		l.done[p.kind] = l.items[there.count-1] + 1
	}
	return nil
}

// extent is what is stored of a part: so many of its first messages, and the sequence of the last one of them.
type extent struct {
	count int
	last  uint64
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

// look finds what is stored of the part. Any replica may answer. If it has the fence, it has all before it.
func (l *lane) look(ctx context.Context, p *pendingPart) (extent, error) {
	for range looks {
		there, err := l.lookOnce(ctx, p)
		if !errors.Is(err, errBehind) {
			return there, err
		}
		if !backoff.Pause(ctx, lookAgain) {
			break
		}
	}
	p.fenced = false // it may have been purged
	return extent{}, errBehind
}

func (l *lane) lookOnce(ctx context.Context, p *pendingPart) (extent, error) {
	question := readRequest{Last: []string{p.firstSubject, p.fence}}
	if p.lastSubject != p.firstSubject {
		question.Last = append(question.Last, p.lastSubject)
	}
	newest, _, err := l.e.link.read(ctx, streamName(p.kind, p.shard), question)
	if err != nil {
		return extent{}, err
	}
	behind := true
	var ofFirst uint64 // the newest sequence of the first item's device
	for _, m := range newest {
		switch {
		case m.Header.Get(readSubject) == p.fence:
			behind = false
		case p.numberOf(m) == p.count:
			// Also in a stream that has been made anew, where sequences begin again.
			return extent{p.count, sequenceOf(m)}, nil
		case m.Header.Get(readSubject) == p.firstSubject:
			ofFirst = sequenceOf(m)
		}
	}
	switch {
	case behind:
		return extent{}, errBehind
	case ofFirst <= p.newest:
		return extent{}, nil
	}
	return l.scan(ctx, p, ofFirst)
}

// numberOf is the message's number in the part from 1 on, 0 if it does not belong to it.
func (p *pendingPart) numberOf(m *nats.Msg) int {
	if m.Header.Get(headerBatch) != p.id {
		return 0
	}
	n, _ := strconv.Atoi(m.Header.Get(headerSequence))
	return n
}

// scanPage is how many messages are read at once.
const scanPage = 256

// scan looks for the part's beginning among the messages of its first item's device, up to the newest one of these.
func (l *lane) scan(ctx context.Context, p *pendingPart, upTo uint64) (extent, error) {
	for from := p.newest + 1; from <= upTo; {
		page, err := l.page(ctx, p, readRequest{Sequence: from, Subject: p.firstSubject, Count: scanPage})
		if err != nil {
			return extent{}, err
		}
		for _, m := range page {
			if p.numberOf(m) > 0 {
				return l.measure(ctx, p, sequenceOf(m))
			}
			from = sequenceOf(m) + 1
		}
	}
	return extent{}, nil
}

// measure follows the part, whose messages stand one behind the other, from one of them to the last that is stored.
func (l *lane) measure(ctx context.Context, p *pendingPart, from uint64) (there extent, err error) {
	for there.count < p.count {
		page, err := l.page(ctx, p, readRequest{Sequence: from, Subject: ">", Count: scanPage})
		if err != nil {
			return extent{}, err
		}
		for _, m := range page {
			n := p.numberOf(m)
			if n == 0 {
				return there, nil
			}
			there, from = extent{n, sequenceOf(m)}, sequenceOf(m)+1
		}
	}
	return there, nil
}

// page reads messages of which there is one at least, if only the fence.
func (l *lane) page(ctx context.Context, p *pendingPart, r readRequest) ([]*nats.Msg, error) {
	r.Bytes = readBytes
	page, _, err := l.e.link.read(ctx, streamName(p.kind, p.shard), r)
	if err == nil && len(page) == 0 {
		err = errBehind
	}
	return page, err
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
