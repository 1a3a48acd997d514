package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What one atomic batch takes: as many messages as a server does by default, and bytes that it stages without trouble.
const (
	maxPartItems = 1000
	maxPartBytes = 4 << 20
)

// The headers of an atomic batch. The server keeps the first one with each message.
const (
	headerBatch         = "Nats-Batch-Id"
	headerSequence      = "Nats-Batch-Sequence"
	headerCommit        = "Nats-Batch-Commit"
	headerExpect        = "Nats-Expected-Last-Subject-Sequence"
	headerExpectSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// sequences are the numbers of an atomic batch's messages, as text.
var sequences = func() (all [maxPartItems + 1]string) {
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}()

// lane writes one shard, one batch at a time.
type lane struct {
	e     *Engine
	shard int
	run   string // no other lane of any process ever has it

	positions [engine.Kinds]*position
	batch     uint64            // the ID of the latest batch
	done      [engine.Kinds]int // how many of its items are settled, from the first one on
	written   uint64            // parts so far
	pending   *pendingPart      // whose fate is not known; nil = there is none
	items     []int             // of the batch, that the latest part writes

	message nats.Msg // of the item at hand; reused, as what follows
	values  map[string][]string
	digits  []byte
	subject string // of the device
	device  string
	kind    engine.Kind
}

func newLane(e *Engine, shard int) *lane {
	l := &lane{
		e: e, shard: shard, run: nuid.Next(), values: map[string][]string{},
		message: nats.Msg{Header: nats.Header{}},
	}
	for k := range l.positions {
		l.positions[k] = &position{kind: engine.Kind(k), shard: shard}
	}
	return l
}

// store writes the batch. What of it is stored already when it fails makes the failure ambiguous.
func (l *lane) store(ctx context.Context, b *engine.Batch) error {
	if b.Len() == 0 && b.Known == [engine.Kinds]bool{} {
		return nil
	}
	again := b.ID != 0 && b.ID == l.batch
	err := l.attempt(ctx, b, again)
	if err == nil {
		return nil
	}
	failure := *l.e.classify(engine.KindRecord, l.shard, err)
	begun := b.ID == l.batch && (l.pending != nil || l.done != [engine.Kinds]int{})
	failure.Ambiguous = again || begun
	return &failure
}

func (l *lane) attempt(ctx context.Context, b *engine.Batch, again bool) error {
	if err := ctx.Err(); err != nil {
		return &engine.Error{Transient: true, Err: err}
	}
	conn, err := l.e.link.await(ctx)
	if err != nil {
		return err
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	if !again {
		l.batch, l.done = b.ID, [engine.Kinds]int{}
	}
	if err := l.find(ctx, b); err != nil {
		return err
	}
	l.refuseLarge(conn, b)
	for k := range l.positions {
		l.markDone(b, engine.Kind(k))
		if err := l.write(ctx, conn, b, engine.Kind(k)); err != nil {
			return err
		}
	}
	return l.check(ctx, b)
}

// find looks at the streams that the batch is the first to need.
func (l *lane) find(ctx context.Context, b *engine.Batch) error {
	for k, p := range l.positions {
		if p.epoch > 0 || count(b, engine.Kind(k)) == 0 && !b.Known[k] {
			continue
		}
		info, err := l.e.info(ctx, p.kind, p.shard)
		if err != nil {
			return err
		}
		p.begin(info)
	}
	return nil
}

func count(b *engine.Batch, k engine.Kind) int {
	return [...]int{len(b.Records), len(b.DeadLetters), len(b.Messages)}[k]
}

func resultsOf(b *engine.Batch, k engine.Kind) []engine.Result {
	records, deadLetters, messages := b.ByKind()
	return [...][]engine.Result{records, deadLetters, messages}[k]
}

// markDone reports what earlier attempts at the batch have stored.
func (l *lane) markDone(b *engine.Batch, k engine.Kind) {
	results := resultsOf(b, k)
	for i := range results[:min(l.done[k], len(results))] {
		results[i].Duplicate = results[i].Err == nil
	}
}

// refuseLarge refuses what no server would take.
func (l *lane) refuseLarge(conn *nats.Conn, b *engine.Batch) {
	for k, p := range l.positions {
		limit := int(conn.MaxPayload())
		if p.itemLimit > 0 {
			limit = min(limit, p.itemLimit)
		}
		results := resultsOf(b, p.kind)
		for i := range results {
			if size := sizeOf(b, engine.Kind(k), i); size > limit {
				results[i].Err = &engine.Error{Err: fmt.Errorf(
					"%d bytes, and max_payload of the server or max_msg_size of the stream is %d: %w",
					size, limit, engine.ErrTooLarge)}
			}
		}
	}
}

// write writes what is left of the batch's items of a kind, in parts.
func (l *lane) write(ctx context.Context, conn *nats.Conn, b *engine.Batch, k engine.Kind) error {
	results := resultsOf(b, k)
	for l.done[k] < len(results) {
		p := l.cut(b, k, results)
		if p.last >= 0 {
			err := l.writePart(ctx, conn, b, p, results)
			if errors.Is(err, nats.ErrNoResponders) && l.madeAgain(ctx, p) {
				err = l.writePart(ctx, conn, b, p, results)
			}
			if err != nil {
				return err
			}
		}
		l.done[k] = p.end
	}
	return nil
}

// madeAgain reports whether there is another stream by now in the place of one that nobody answers for.
func (l *lane) madeAgain(ctx context.Context, p *pendingPart) bool {
	info, err := l.e.info(ctx, p.kind, p.shard)
	if err != nil || info.Created.Equal(p.created) {
		return false
	}
	p.begin(info)
	return true
}

// pendingPart is what one atomic batch has of the items of a kind.
type pendingPart struct {
	*position
	id                        string // of the atomic batch
	batch                     uint64 // of which it is a part
	first, last               int    // the items that it writes; last is -1 if it writes none
	end                       int    // behind its items, also those that were refused
	count                     int    // of the items that it writes
	firstSubject, lastSubject string // of its first item and its last one
	fence                     string // the subject that a message on prevents it from being stored
	fenced                    bool
}

// cut takes the next part.
func (l *lane) cut(b *engine.Batch, k engine.Kind, results []engine.Result) *pendingPart {
	p := &pendingPart{position: l.positions[k], batch: b.ID, first: -1, last: -1, end: l.done[k]}
	bytes := 0
	for ; p.end < len(results) && p.count < maxPartItems; p.end++ {
		if results[p.end].Err != nil {
			continue
		}
		size := sizeOf(b, k, p.end)
		if p.count > 0 && bytes+size > maxPartBytes {
			break
		}
		if p.count == 0 {
			p.first = p.end
		}
		bytes += size
		p.last = p.end
		p.count++
	}
	return p
}

// writePart writes one atomic batch and waits until it is stored. An error after which it is pending says that it may
// be.
func (l *lane) writePart(
	ctx context.Context, conn *nats.Conn, b *engine.Batch, p *pendingPart, results []engine.Result,
) error {
	l.written++
	p.id = l.run + "-" + strconv.FormatUint(l.written, 36)
	p.fence = p.fenceOf(l.run)
	l.items = l.items[:0]
	for i := p.first; i < p.last; i++ {
		if results[i].Err != nil {
			continue
		}
		l.setPart(b, p, i)
		if err := conn.PublishMsg(&l.message); err != nil {
			return l.e.classify(p.kind, p.shard, err) // without its end it is not stored
		}
	}
	l.setPart(b, p, p.last)
	l.set(headerCommit, "1")
	p.lastSubject = l.message.Subject
	return l.commit(ctx, p)
}

// setPart makes an item the part's next message. The first one is for the server to refuse if there is a message on the
// fence.
func (l *lane) setPart(b *engine.Batch, p *pendingPart, i int) {
	l.setItem(b, p.kind, i)
	l.items = append(l.items, i)
	l.set(headerBatch, p.id)
	l.set(headerSequence, sequences[len(l.items)])
	if len(l.items) == 1 {
		p.firstSubject = l.message.Subject
		l.set(headerExpect, "0")
		l.set(headerExpectSubject, p.fence)
	}
}

// confirmation is what a server answers to a message that it has been asked to store.
type confirmation struct {
	Sequence uint64              `json:"seq"`
	Batch    string              `json:"batch"`
	Count    int                 `json:"count"`
	Error    *jetstream.APIError `json:"error"`
}

// commit sends the part's last message and waits until the part is stored.
func (l *lane) commit(ctx context.Context, p *pendingPart) error {
	l.pending = p
	answer, err := l.e.link.ask(ctx, &l.message, storePatience)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		l.pending = nil // nobody has got it
	}
	if err != nil {
		return l.e.classify(p.kind, p.shard, err)
	}
	var stored confirmation
	if err := json.Unmarshal(answer.Data, &stored); err != nil {
		return l.e.classify(p.kind, p.shard, fmt.Errorf("an answer that cannot be read: %w", err))
	}
	if stored.Error != nil {
		if stored.Error.ErrorCode != codeStoreFailed {
			l.pending = nil
		}
		return l.e.classify(p.kind, p.shard, stored.Error)
	}
	if stored.Batch != p.id || stored.Count != p.count {
		return l.e.classify(p.kind, p.shard,
			fmt.Errorf("%d messages of atomic batch %q are confirmed instead of %d of %q",
				stored.Count, stored.Batch, p.count, p.id))
	}
	l.pending = nil
	p.confirmed(stored.Sequence, p.count, p.id, time.Now())
	return nil
}
