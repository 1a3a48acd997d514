package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// lane has one batch at a time on its way. Everything but left and done belongs to whoever calls Store.
type lane struct {
	e *Engine
	batch
	id     uint64  // of the batch, as engine.Batch.ID
	layout *layout // by which it was made

	todo    [][]int               // groups of records that are still to be written, the last one first
	now     []int                 // the group that is on its way
	open    bool                  // there is one
	left    atomic.Int64          // records of it that the client has not settled
	done    chan struct{}         // one message when there is none left
	failed  map[*kgo.Record]error // of the group; written by the client's goroutine before done
	fate    []error               // of each record: nil = stored
	gaveUp  error                 // why the client has given up some of it that can be written; nil = nothing
	renewed [engine.Kinds]int64   // how often the client had to forget each topic before the group
	skipped []bool                // of each record: stored by an earlier attempt
	kept    map[string]int        // what earlier attempts at this batch have stored, by identity

	witness [engine.Kinds]witness
}

func newLane(e *Engine) *lane {
	l := &lane{e: e, done: make(chan struct{}, 1)}
	for k := range l.witness {
		l.witness[k].epoch = 1
	}
	return l
}

// Store writes the batch and waits for it, for answerPatience at the most.
func (e *Engine) Store(ctx context.Context, lane int, b *engine.Batch) error {
	l := e.lanes[lane]
	if b.Len() == 0 && b.Known == [engine.Kinds]bool{} {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	again := b.ID != 0 && b.ID == l.id
	pending := l.pending()
	if pending && !again {
		if err := l.carry(ctx); err != nil {
			return &engine.Error{Transient: true, Err: fmt.Errorf("behind another batch: %w", err)}
		}
	}
	if !pending || !again {
		if err := l.begin(ctx, b, again); err != nil {
			failure := *e.classify(err)
			failure.Ambiguous = again // this attempt has stored nothing, but the one before may have
			return &failure
		}
	}
	if err := l.carryAll(ctx, b); err != nil {
		return &engine.Error{Transient: true, Ambiguous: true, Err: err}
	}
	l.tell(b)
	if err := l.verify(ctx, b.Known); err != nil {
		failure := *e.classify(err)
		failure.Transient, failure.Ambiguous = true, true
		return &failure
	}
	for k := range l.witness {
		b.Epochs[k] = l.witness[k].epoch
	}
	return nil
}

// pending reports whether some of the latest batch is not settled.
func (l *lane) pending() bool { return l.open || len(l.todo) > 0 }

// begin makes records of the batch, without those items that an earlier attempt has stored.
func (l *lane) begin(ctx context.Context, b *engine.Batch, again bool) error {
	now, err := l.e.current(ctx)
	if err != nil {
		return err
	}
	if now.wrong != nil {
		return now.wrong
	}
	if again {
		l.keepStored(now)
	} else {
		l.kept = nil
	}
	l.gaveUp = nil
	l.id, l.layout = b.ID, now
	l.encode(b, now, &l.e.refs)
	n := len(l.records)
	l.fate = slices.Grow(l.fate[:0], n)[:n]
	clear(l.fate)
	l.skipped = slices.Grow(l.skipped[:0], n)[:n]
	clear(l.skipped)
	l.skipKept()
	group := make([]int, 0, n)
	for i := range n {
		if !l.skipped[i] {
			group = append(group, i)
		}
	}
	if len(group) > 0 {
		l.todo = append(l.todo, group)
	}
	return nil
}

// keepStored notes what this attempt at the batch has stored, in topics that are the same now.
func (l *lane) keepStored(now *layout) {
	if l.kept == nil {
		l.kept = map[string]int{}
	}
	for i := range l.records {
		if l.fate[i] == nil && !l.skipped[i] {
			l.kept[identity(&l.records[i])]++
		}
	}
	for k, name := range l.e.topics {
		if l.layout.topics[k].id != now.topics[k].id {
			maps.DeleteFunc(l.kept, func(id string, _ int) bool { return strings.HasPrefix(id, name+"\x00") })
		}
	}
}

// skipKept leaves out the items all of which earlier attempts have stored, each of those once.
func (l *lane) skipKept() {
	if len(l.kept) == 0 {
		return
	}
	left := maps.Clone(l.kept)
	for _, item := range l.items {
		all := true
		for i := item.from; i < item.to; i++ {
			all = all && left[identity(&l.records[i])] > 0
		}
		for i := item.from; i < item.to && all; i++ {
			left[identity(&l.records[i])]--
			l.skipped[i] = true
		}
	}
}

// carryAll waits until all of the batch is settled, and writes again what the client has given up: it does so with
// what it can never write, because the topic is another one by now.
func (l *lane) carryAll(ctx context.Context, b *engine.Batch) error {
	for {
		if err := l.carry(ctx); err != nil || l.gaveUp == nil {
			return err
		}
		if !pause(ctx, firstBackoff) {
			return ended(ctx, "kafka has not taken all: "+l.gaveUp.Error())
		}
		if _, err := l.e.ask(ctx); err != nil {
			return l.e.classify(err)
		}
		if err := l.begin(ctx, b, true); err != nil {
			return err
		}
	}
}

// carry waits until all of the batch is settled, group by group.
func (l *lane) carry(ctx context.Context) error {
	for l.pending() {
		if !l.open {
			l.produce()
		}
		select {
		case <-l.done:
			l.open = false
			l.settle()
		case <-ctx.Done():
			return ended(ctx, "no answer of kafka yet")
		}
	}
	return nil
}

// produce hands the next group to the client.
func (l *lane) produce() {
	last := len(l.todo) - 1
	l.now, l.todo = l.todo[last], l.todo[:last]
	l.open, l.failed = true, nil
	for k := range l.renewed {
		l.renewed[k] = l.e.renewed[k].Load()
	}
	l.left.Store(int64(len(l.now)))
	settled := l.settled // made once, and not for each record
	for _, i := range l.now {
		l.e.client.Produce(context.Background(), &l.records[i], settled)
	}
}

// settled is called by the client, which calls nobody else meanwhile.
func (l *lane) settled(r *kgo.Record, err error) {
	if err != nil {
		if l.failed == nil {
			l.failed = map[*kgo.Record]error{}
		}
		l.failed[r] = err
	}
	if l.left.Add(-1) == 0 {
		l.done <- struct{}{}
	}
}

// settle notes what became of the group. A broker that takes less at once than the client thinks refuses good records
// with too large ones, so those are written again in halves, until each is alone.
func (l *lane) settle() {
	var large []int
	for _, i := range l.now {
		r := &l.records[i]
		err := l.failed[r]
		switch {
		case err == nil:
			l.note(r)
		case tooLarge(err):
			l.fate[i] = fmt.Errorf("%w: %w", engine.ErrTooLarge, err)
			large = append(large, i)
		default:
			l.fate[i] = err
			if l.e.classify(err).Transient {
				l.gaveUp = err
			}
			if errors.Is(err, kerr.UnknownTopicID) {
				k := l.e.kindOf(r.Topic)
				l.e.renew(k, l.renewed[k])
			}
		}
	}
	if half := len(large) / 2; half > 0 {
		l.todo = append(l.todo, large[half:], large[:half])
		for _, i := range large {
			l.fate[i] = nil
		}
	}
}

// note notes where a record is stored.
func (l *lane) note(r *kgo.Record) {
	k := l.e.kindOf(r.Topic)
	l.witness[k].stored(l.layout.topics[k].id, r, l.started)
}

// tell gives each item of the batch its result.
func (l *lane) tell(b *engine.Batch) {
	for n, item := range l.items {
		result := &b.Results[n]
		result.Duplicate = l.skipped[item.from]
		for i := item.from; i < item.to; i++ {
			if err := l.fate[i]; err != nil {
				result.Err = l.e.classify(err)
			}
		}
	}
}
