package redisstream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// lane is one connection that carries one batch at a time.
type lane struct {
	e       *Engine
	shard   *shard
	term    *term    // of the server that the connection is to, or was
	conn    net.Conn // nil while there is none
	in      *bufio.Reader
	out     []byte       // the batch as it is written; reused
	confirm confirmation // what stands behind the durability on this connection
	letGo   func() bool  // forgets that the connection is closed when the term ends
	stale   bool         // the connection is to be replaced after this batch
	moved   error        // the server has not got the shard for some of this batch
	retry   backoff

	batch uint64 // the ID of the latest one

	self client // what Redis calls this connection
	lost client // the connection on which a batch was written and never answered

	records, deadLetters, messages position
	marker                         marker
	marked                         bool               // the batch is written with marks
	onlyMarked                     bool               // and nothing else is
	checks                         [engine.Kinds]bool // which streams this batch asks for, see witness
}

// position is where a lane has got to in a stream.
type position struct {
	key    string
	newest []byte // id of the newest entry confirmed to this lane; nil if it could not be found out
	before []byte // newest as it was before the lane's last batch
	// elsewhere says that they are of another server than the one that the lane is connected to.
	elsewhere bool
	witness
}

func newLane(s *shard) *lane {
	movable := s.e.cluster != nil
	return &lane{
		e: s.e, shard: s,
		records:     position{key: s.stream, witness: witness{movable: movable, limit: s.maxLen}},
		deadLetters: position{key: s.deadStream(), witness: witness{movable: movable}},
		messages:    position{key: s.messageStream(), witness: witness{movable: movable, limit: s.maxLen, room: s.messages}},
		marker:      newMarker(s.stream, s.e.writer),
	}
}

// store writes the batch. again says that an earlier attempt may have stored some of it.
func (l *lane) store(ctx context.Context, b *engine.Batch, again bool) error {
	if b.Len() == 0 && b.Known == [engine.Kinds]bool{} {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.conn != nil && (l.term.over.Err() != nil || closedByPeer(l.conn)) {
		l.drop()
	}
	if l.conn == nil {
		if err := l.connect(ctx); err != nil {
			return err
		}
	}
	if err := l.killLost(ctx); err != nil {
		return err
	}
	l.batch = b.ID
	if again {
		if err := l.markStored(ctx, b); err != nil {
			return err
		}
	} else {
		l.records.advance()
		l.deadLetters.advance()
		l.messages.advance()
	}
	defer l.marker.end()
	if err := l.recall(ctx, b, again); err != nil {
		return err
	}
	if err := l.confirmFound(ctx, b); err != nil {
		return err
	}
	written, err := l.shard.makeRoom(ctx, b)
	if err != nil {
		return err
	}
	defer written()
	return l.write(ctx, b)
}

// advance notes that a new batch follows.
func (p *position) advance() { p.before = append(p.before[:0], p.newest...) }

// answerPatience is how long a lane waits for a batch's answers before it gives the connection up: longer than any
// Redis takes that works, and than WAIT and WAITAOF may. Something between here and Redis can keep a connection open
// whose other end is gone; and a Redis that is only frozen has stored nothing twice, because the batch is looked for
// before it is written again.
const answerPatience = 30 * time.Second

// write sends what of the batch is not stored yet, and the questions whether what was stored before still is, and reads
// the answers. If it fails, the connection is gone.
func (l *lane) write(ctx context.Context, b *engine.Batch) error {
	now := time.Now()
	writes := l.encode(b, now)
	if len(l.out) == 0 {
		l.tellEpochs(b)
		return nil
	}
	if err := l.conn.SetDeadline(now.Add(l.e.patience)); err != nil {
		l.fail(err)
		return err
	}
	stop := deadline.Until(ctx, l.conn)
	sent, err := l.conn.Write(l.out)
	if err == nil {
		err = l.readResults(b, writes)
	}
	interrupted := !stop()
	if err != nil {
		if sent > 0 {
			l.lost = l.self
		}
		l.fail(err)
		if answer, ok := asRefusal(err); ok {
			err = firstError(l.term.elsewhere(answer), err)
		}
		if l.term.over.Err() != nil {
			err = fmt.Errorf("another master than %s is named: %w", l.term.address, err)
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer of redis yet: %w", ctx.Err())
		}
		failure := *l.shard.classify(err)
		failure.Ambiguous = sent > 0
		return &failure
	}
	if interrupted || l.stale {
		l.drop()
	}
	if records, _, _ := b.ByKind(); slices.Contains(records, engine.Result{}) {
		l.marker.placed = now
	}
	l.retry.reset()
	l.shard.noteUp()
	l.tellEpochs(b)
	return nil
}

func (l *lane) tellEpochs(b *engine.Batch) {
	for k, p := range l.positions() {
		b.Epochs[k] = p.epoch
	}
}

// encode puts the batch into l.out and reports whether there is anything to write.
func (l *lane) encode(b *engine.Batch, now time.Time) (writes bool) {
	records, deadLetters, messages := b.ByKind()
	w := &l.shard.words
	out, marked := l.marker.append(l.out[:0], b)
	out, n1 := appendNew(out, b.Records, records, w.appendRecord)
	out, n2 := appendNew(out, b.DeadLetters, deadLetters, w.appendDeadLetter)
	out, n3 := appendNew(out, b.Messages, messages, w.appendMessage)
	written := [engine.Kinds]bool{n1 > 0, n2 > 0, n3 > 0}
	l.marked, l.onlyMarked = marked, marked && n1+n2+n3 == 0
	if marked || n1+n2+n3 > 0 {
		out = append(out, l.confirm.command...)
	}
	for k, p := range l.positions() {
		if l.checks[k] = p.due(b.Known[k], written[k], now); l.checks[k] {
			out = p.appendCheck(out, now)
		}
	}
	l.out = out
	return marked || n1+n2+n3 > 0
}

// appendNew appends those items that are to be written, and returns how many they are.
func appendNew[T any](out []byte, items []T, results []engine.Result, add func([]byte, *T) []byte) ([]byte, int) {
	n := 0
	for i := range items {
		if !isSettled(&results[i]) {
			out = add(out, &items[i])
			n++
		}
	}
	return out, n
}

// readResults reads the answer to every item written, the confirmation, and what has become of the streams.
func (l *lane) readResults(b *engine.Batch, writes bool) error {
	l.moved = nil
	records, deadLetters, messages := b.ByKind()
	if err := l.readMarked(); err != nil {
		return err
	}
	if err := l.readIDs(records, &l.records); err != nil {
		return err
	}
	if err := l.readIDs(deadLetters, &l.deadLetters); err != nil {
		return err
	}
	if err := l.readIDs(messages, &l.messages); err != nil {
		return err
	}
	if writes && l.confirm.check != nil {
		if err := l.confirm.check(l.in); err != nil {
			return firstError(l.moved, err)
		}
	}
	if l.moved != nil {
		return l.moved
	}
	for k, p := range l.positions() {
		if l.checks[k] {
			if err := p.readCheck(l.in); err != nil {
				return err
			}
		}
	}
	return nil
}

// readMarked reads the answer to the marks. Records are stored without them just as well. But where a mark is all that
// is written, WAIT and WAITAOF wait for nothing without it, see confirmFound: then the batch comes again.
func (l *lane) readMarked() error {
	if !l.marked {
		return nil
	}
	answer, err := readReply(l.in)
	if err != nil || answer.kind != '-' {
		return err
	}
	refused := refusal(answer.text)
	if l.moved = l.term.elsewhere(refused); l.moved == nil && !refused.transient() {
		l.shard.noteUnmarked(refused) // else Redis is full, or loads its data, which the records' answers say
	}
	if l.moved == nil && l.onlyMarked && l.confirm.waits {
		return &engine.Error{Transient: true, Err: l.e.withoutPassword(refused)}
	}
	return nil
}

// readIDs reads one stream's answers: entry ids or refusals.
func (l *lane) readIDs(results []engine.Result, p *position) error {
	for i := range results {
		if isSettled(&results[i]) {
			continue
		}
		answer, err := readReply(l.in)
		if err != nil {
			return err
		}
		switch answer.kind {
		case '$':
			p.confirmed(answer.text)
		case '-':
			results[i].Err = l.refuse(refusal(answer.text))
		default:
			return fmt.Errorf("redis answered an XADD with %c", answer.kind)
		}
	}
	return nil
}

// refuse makes an item's error of an error reply. The item is not stored: no ambiguity.
func (l *lane) refuse(answer refusal) error {
	if moved := l.term.elsewhere(answer); moved != nil {
		l.moved = moved
		return moved
	}
	l.stale = l.stale || answer.staleConnection()
	return l.shard.classify(answer)
}

// connect makes the connection, after the pause that failures before impose.
func (l *lane) connect(ctx context.Context) error {
	if l.rest(ctx); ctx.Err() != nil {
		return fmt.Errorf("waiting to connect to redis: %w", ctx.Err())
	}
	err := l.dial(ctx)
	if err == nil {
		err = l.greet(ctx)
	}
	if err == nil {
		err = l.find(ctx)
	}
	if err != nil {
		l.fail(err)
		return err
	}
	for _, p := range l.positions() {
		p.moved = true
	}
	return nil
}

// rest is the pause that failures impose. Those of one master impose none on the next one.
func (l *lane) rest(ctx context.Context) {
	if l.term == nil {
		pause(ctx, l.retry.left())
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.term.over, cancel)()
	pause(ctx, l.retry.left())
	if l.term.over.Err() != nil {
		l.retry.reset()
	}
}

// dial opens a connection to the present master, which is closed when its term ends.
func (l *lane) dial(ctx context.Context) error {
	t, err := l.shard.seat.term(ctx)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, t.client.Options())
	if err != nil {
		return err
	}
	if l.term != nil && l.term != t {
		l.moveTo()
	}
	l.term, l.conn, l.in, l.stale = t, conn, bufio.NewReaderSize(conn, replyBuffer), false
	l.letGo = context.AfterFunc(t.over, func() { _ = conn.Close() })
	return nil
}

// fail gives the connection up.
func (l *lane) fail(err error) {
	l.drop()
	l.retry.failed()
	l.shard.noteDown(err)
}

// drop closes the connection, if there is one.
func (l *lane) drop() {
	if l.conn == nil {
		return
	}
	l.letGo()
	_ = l.conn.Close()
	l.conn, l.in, l.self = nil, nil, client{}
}

// backoff is the pause between attempts to connect: none at first, then 20 ms to 1 s.
type backoff struct {
	delay time.Duration
	until time.Time
}

const (
	shortestBackoff = 20 * time.Millisecond
	longestBackoff  = time.Second
)

func (b *backoff) failed() {
	b.delay = min(max(2*b.delay, shortestBackoff), longestBackoff)
	b.until = time.Now().Add(b.delay)
}

func (b *backoff) reset() { *b = backoff{} }

func (b *backoff) left() time.Duration {
	if b.until.IsZero() {
		return 0
	}
	return time.Until(b.until)
}
