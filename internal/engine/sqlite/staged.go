package sqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"unsafe"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// maxStagedBytes is the memory kept for the next batch.
const maxStagedBytes = 16 << 20

// staged is the engine's own copy of a batch, so that a write that hangs in the disk can be left
// behind while the caller reuses its memory.
type staged struct {
	bytes       []byte
	records     []row
	deadLetters []deadRow
	messages    []messageRow
	id          uint64 // of the batch
	again       bool   // an earlier attempt may have stored some of it
	known       bool   // the caller remembers dead letters or messages
}

func (s *staged) items() int { return len(s.records) + len(s.deadLetters) + len(s.messages) }

// row is a line of the records table, without its seq.
type row struct {
	id, device, codec, payload string
	timestamp                  int64
}

// deadRow is a line of the dead_letters table, without its seq.
type deadRow struct {
	device, codec, reason, frame, transport string
	received                                int64
}

// messageRow is a line of the messages table, without its seq.
type messageRow struct {
	device, codec, payload string
	kind                   int64
	sent                   driver.Value // ms since 1970 UTC, or nil
	received               int64
}

// copy replaces what is staged by the batch.
func (s *staged) copy(b *engine.Batch) {
	size := 0
	for i := range b.Records {
		size += len(b.Records[i].ID) + len(b.Records[i].Payload)
	}
	if cap(s.bytes) < size || cap(s.bytes) > maxStagedBytes {
		s.bytes = make([]byte, 0, size)
	}
	s.bytes = s.bytes[:0]
	s.records = s.records[:0]
	for i := range b.Records {
		r := &b.Records[i]
		s.records = append(s.records, row{
			id: s.text(r.ID), device: r.DeviceID, codec: r.Codec, payload: s.text(r.Payload), timestamp: r.Timestamp,
		})
	}
	s.deadLetters = s.deadLetters[:0]
	for i := range b.DeadLetters {
		d := &b.DeadLetters[i]
		s.deadLetters = append(s.deadLetters, deadRow{
			device: d.DeviceID, codec: d.Codec, reason: d.Reason,
			frame: hex.EncodeToString(d.Frame), received: d.Received.UnixMilli(), transport: d.Transport,
		})
	}
	s.messages = s.messages[:0]
	for i := range b.Messages {
		s.messages = append(s.messages, rowOf(&b.Messages[i]))
	}
	s.again = b.ID != 0 && b.ID == s.id
	s.id = b.ID
	s.known = b.Known[engine.KindDeadLetter] || b.Known[engine.KindMessage]
}

func rowOf(m *engine.Message) messageRow {
	row := messageRow{
		device: m.DeviceID, codec: m.Codec, kind: int64(m.Type), payload: hex.EncodeToString(m.Payload),
		received: m.Received.UnixMilli(),
	}
	if !m.Sent.IsZero() {
		row.sent = m.Sent.UnixMilli()
	}
	return row
}

// text copies b and returns the copy as a string, because the driver stores only strings as TEXT.
// The string is valid until the next batch is staged; the driver copies it into SQLite's memory.
func (s *staged) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	start := len(s.bytes)
	s.bytes = append(s.bytes, b...)
	return unsafe.String(&s.bytes[start], len(b))
}
