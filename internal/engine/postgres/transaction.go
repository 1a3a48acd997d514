package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// transaction is what a lane sends at once, its memory used again and again: a statement for each kind of items.
// Without BEGIN they are one transaction, which the server commits at their end.
type transaction struct {
	key     []byte // what the keys of the batch's dead letters and messages begin with
	columns [engine.Kinds]columns
	sent    []step
	written int // rows of the batch
	warned  *pgconn.Notice
}

// begin prepares for a batch. Its key is the same when the batch comes again.
func (l *lane) begin(b *engine.Batch) {
	l.written = 0
	if b.ID == 0 {
		l.unnamed++
		l.key = fmt.Appendf(l.key[:0], "%s-%d-unnamed-%d", l.e.process, l.number, l.unnamed)
		return
	}
	l.key = fmt.Appendf(l.key[:0], "%s-%d-%d", l.e.process, l.number, b.ID)
}

// itemKey is unique among all dead letters, and among all messages.
func (t *transaction) itemKey(dst []byte, i int) []byte {
	return strconv.AppendInt(append(append(dst, t.key...), '-'), int64(i), 10)
}

// write sends the items from one to before another and reads the answers. Results are those of these items only, and
// of none with an error.
func (l *lane) write(ctx context.Context, b *engine.Batch, from, to int) error {
	p := l.conn.StartPipeline(ctx)
	l.sent = l.sent[:0]
	l.sendRecords(p, b, from, to)
	l.sendDeadLetters(p, b, from, to)
	l.sendMessages(p, b, from, to)
	others := len(l.sent) > 0 && to > len(b.Records)
	if others || b.Known[engine.KindDeadLetter] || b.Known[engine.KindMessage] {
		p.SendQueryPrepared("count_removals", nil, nil, nil)
		l.sent = append(l.sent, step{asks: true})
	}
	if len(l.sent) == 0 {
		return p.Close()
	}
	if l.e.opt.Durability == Replica {
		p.SendQueryPrepared("show_durability", nil, nil, nil)
		l.sent = append(l.sent, step{shows: true})
	}
	p.SendPipelineSync()
	if l.e.opt.Durability == Replica {
		p.SendQueryPrepared("show_durability", nil, nil, nil)
		p.SendPipelineSync()
	}
	err := p.Flush()
	if err == nil {
		err = l.read(p)
	}
	if closing := p.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	l.settle()
	return nil
}

// overlap is the part from one to before another of the kind's results, which begin at first.
func overlap(results []engine.Result, first, from, to int) (low, high int) {
	return min(max(from-first, 0), len(results)), min(max(to-first, 0), len(results))
}

func (l *lane) sendRecords(p *pgconn.Pipeline, b *engine.Batch, from, to int) {
	results, _, _ := b.ByKind()
	low, high := overlap(results, 0, from, to)
	if low == high {
		return
	}
	c := l.columns[engine.KindRecord].begin(oidText, oidText, oidBigint, oidBigint, oidText, oidText)
	for i := low; i < high; i++ {
		r := &b.Records[i]
		c[0].addBytes(r.ID)
		c[1].addText(r.DeviceID)
		c[2].addBigint(r.Timestamp)
		c[3].addBigint(int64(r.Hash))
		c[4].addText(r.Codec)
		c[5].addDocument(r.Payload)
	}
	l.send(p, "store_records", engine.KindRecord, results[low:high], func(i int) []byte { return b.Records[low+i].ID })
}

func (l *lane) sendDeadLetters(p *pgconn.Pipeline, b *engine.Batch, from, to int) {
	_, results, _ := b.ByKind()
	low, high := overlap(results, len(b.Records), from, to)
	if low == high {
		return
	}
	c := l.columns[engine.KindDeadLetter].begin(oidText, oidBigint, oidText, oidText, oidText, oidText, oidText)
	var key []byte
	for i := low; i < high; i++ {
		d := &b.DeadLetters[i]
		key = l.itemKey(key[:0], i)
		c[0].addBytes(key)
		c[1].addBigint(d.Received.UnixMilli())
		c[2].addText(d.DeviceID)
		c[3].addText(d.Reason)
		c[4].addText(d.Codec)
		c[5].addHex(d.Frame)
		c[6].addText(d.Transport)
	}
	l.send(p, "store_dead_letters", engine.KindDeadLetter, results[low:high],
		func(i int) []byte { return l.itemKey(nil, low+i) })
	l.sendRoom(p, roomForDeadLetters, engine.KindDeadLetter, l.e.opt.DeadLetterMaxBytes)
}

func (l *lane) sendMessages(p *pgconn.Pipeline, b *engine.Batch, from, to int) {
	_, _, results := b.ByKind()
	low, high := overlap(results, len(b.Records)+len(b.DeadLetters), from, to)
	if low == high {
		return
	}
	c := l.columns[engine.KindMessage].begin(oidText, oidBigint, oidText, oidText, oidBigint, oidBigint, oidText)
	var key []byte
	for i := low; i < high; i++ {
		m := &b.Messages[i]
		key = l.itemKey(key[:0], i)
		c[0].addBytes(key)
		c[1].addBigint(m.Received.UnixMilli())
		c[2].addText(m.DeviceID)
		c[3].addText(m.Codec)
		c[4].addBigint(int64(m.Type))
		addTime(&c[5], m.Sent)
		c[6].addHex(m.Payload)
	}
	l.send(p, "store_messages", engine.KindMessage, results[low:high],
		func(i int) []byte { return l.itemKey(nil, low+i) })
	l.sendRoom(p, roomForMessages, engine.KindMessage, l.e.opt.MessageMaxBytes)
}

func addTime(c *column, t time.Time) {
	if t.IsZero() {
		c.addNull()
		return
	}
	c.addBigint(t.UnixMilli())
}

// sendRoom keeps a kind's items within their bound, by the statement that is planned for what the table has now.
func (l *lane) sendRoom(p *pgconn.Pipeline, statement string, k engine.Kind, limit int64) {
	if limit == 0 {
		return
	}
	p.SendQueryParams(statement, [][]byte{
		binary.BigEndian.AppendUint64(nil, uint64(limit)),
		binary.BigEndian.AppendUint64(nil, uint64(l.columns[k].mayRemove())),
	}, nil, binaryFormat, nil)
	l.sent = append(l.sent, step{kind: k})
}

// mayRemove is how many rows may go for those of a statement. Each counts 128 bytes or more: so they take more than
// what is added, however small they are, and a table above its bound gets smaller.
func (c *columns) mayRemove() int {
	rows := 100
	for i := range c.of {
		rows += len(c.of[i].bytes) / 64
	}
	return rows
}

func (l *lane) send(p *pgconn.Pipeline, name string, k engine.Kind, results []engine.Result, key func(int) []byte) {
	p.SendQueryPrepared(name, l.columns[k].parameters(), binaryFormat, nil)
	l.sent = append(l.sent, step{results: results, key: key})
}
