package kafka

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// timeLayout is how times stand in headers: ISO 8601 in milliseconds, UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

// The headers' names.
const (
	headerID        = "id"
	headerCodec     = "codec"
	headerTime      = "ts"
	headerDevice    = "device_id"
	headerReason    = "reason"
	headerTransport = "transport"
	headerType      = "type"
	headerSent      = "sent"
	headerPart      = "part" // of a dead letter larger than the topic takes: "2/3"
)

// batch is a batch as the client writes it. Its memory is used again for the next one.
type batch struct {
	records []kgo.Record
	headers []kgo.RecordHeader
	arena   []byte // keys, values and headers
	items   []span // in the order of engine.Batch.Results
	started time.Time
}

// span is which records an item has become: one, or several for a dead letter that the topic does not take whole.
type span struct{ from, to int }

// encode makes records of all items. The record's time is the one at which it came: the device's own would let a
// tracker dated 2080 fail its neighbours, and one dated 1970 be deleted at once.
func (b *batch) encode(from *engine.Batch, l *layout, refs *refs) {
	b.records, b.headers, b.items = b.records[:0], b.headers[:0], b.items[:0]
	b.arena = b.arena[:0]
	b.started = time.Now()
	for i := range from.Records {
		b.record(&from.Records[i], &l.topics[engine.KindRecord])
	}
	for i := range from.DeadLetters {
		b.deadLetter(&from.DeadLetters[i], &l.topics[engine.KindDeadLetter], refs)
	}
	for i := range from.Messages {
		b.message(&from.Messages[i], &l.topics[engine.KindMessage])
	}
}

// keep copies what the caller lends. What was kept before stays where it is when the arena grows.
func keep[T string | []byte](b *batch, p T) []byte {
	at := len(b.arena)
	b.arena = append(b.arena, p...)
	return b.arena[at:len(b.arena):len(b.arena)]
}

func (b *batch) keepHex(p []byte) []byte {
	at := len(b.arena)
	b.arena = hex.AppendEncode(b.arena, p)
	return b.arena[at:len(b.arena):len(b.arena)]
}

func (b *batch) keepTime(t time.Time) []byte {
	at := len(b.arena)
	b.arena = t.UTC().AppendFormat(b.arena, timeLayout)
	return b.arena[at:len(b.arena):len(b.arena)]
}

func (b *batch) header(name string, value []byte) {
	b.headers = append(b.headers, kgo.RecordHeader{Key: name, Value: value})
}

// add adds a record with the headers from so many on.
func (b *batch) add(t *topic, partition int32, key, value []byte, headers int) {
	b.records = append(b.records, kgo.Record{
		Topic: t.name, Partition: partition, Key: key, Value: value, Timestamp: b.started,
		Headers: b.headers[headers:len(b.headers):len(b.headers)],
	})
}

func (b *batch) record(r *engine.Record, t *topic) {
	at := len(b.headers)
	b.header(headerID, keep(b, r.ID))
	b.header(headerCodec, keep(b, r.Codec))
	b.header(headerTime, keep(b, r.Time))
	b.add(t, partitionOf(r.DeviceID, len(t.partitions)), keep(b, r.DeviceID), keep(b, r.Payload), at)
	b.items = append(b.items, span{len(b.records) - 1, len(b.records)})
}

func (b *batch) message(m *engine.Message, t *topic) {
	at := len(b.headers)
	b.header(headerTime, b.keepTime(m.Received))
	b.header(headerCodec, keep(b, m.Codec))
	b.header(headerType, keep(b, strconv.Itoa(int(m.Type))))
	var sent []byte
	if !m.Sent.IsZero() {
		sent = b.keepTime(m.Sent)
	}
	b.header(headerSent, sent)
	b.add(t, partitionOf(m.DeviceID, len(t.partitions)), keep(b, m.DeviceID), b.keepHex(m.Payload), at)
	b.items = append(b.items, span{len(b.records) - 1, len(b.records)})
}

// deadLetterOverhead is more than a dead letter's headers, key and batch take.
const deadLetterOverhead = 1 << 10

// deadLetter is keyed by its ref, so that a tombstone removes it. A frame whose hex is more than the topic takes is
// kept in parts, each with a key of its own, so that there is no frame of which nothing can be kept.
func (b *batch) deadLetter(d *engine.DeadLetter, t *topic, refs *refs) {
	most := max(1, (int(t.batchBytes())-deadLetterOverhead)/2)
	parts := max(1, (len(d.Frame)+most-1)/most)
	partition := partitionOf(d.DeviceID, len(t.partitions))
	ref := refs.next(partition, parts)
	first := len(b.records)
	for n := range parts {
		at := len(b.headers)
		b.header(headerTime, b.keepTime(d.Received))
		b.header(headerDevice, keep(b, d.DeviceID))
		b.header(headerReason, keep(b, d.Reason))
		b.header(headerCodec, keep(b, d.Codec))
		b.header(headerTransport, keep(b, d.Transport))
		if parts > 1 {
			b.header(headerPart, keep(b, strconv.Itoa(n+1)+"/"+strconv.Itoa(parts)))
		}
		part := d.Frame[n*most : min(len(d.Frame), (n+1)*most)]
		b.add(t, partition, keep(b, ref.key(n)), b.keepHex(part), at)
	}
	b.items = append(b.items, span{first, len(b.records)})
}

// identity is the same for the same item in another batch. A record is known by its id, which comes first of its
// headers; anything else by all that it holds, but for a dead letter's key.
func identity(r *kgo.Record) string {
	var s strings.Builder
	s.WriteString(r.Topic)
	if len(r.Headers) > 0 && r.Headers[0].Key == headerID {
		s.WriteByte(0)
		s.Write(r.Headers[0].Value)
		return s.String()
	}
	for _, h := range r.Headers {
		s.WriteByte(0)
		s.Write(h.Value)
	}
	if header(r, headerReason) == "" {
		s.WriteByte(0)
		s.Write(r.Key)
	}
	s.WriteByte(0)
	s.Write(r.Value)
	return s.String()
}

// header is the value of a record's header, empty if it has none.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
