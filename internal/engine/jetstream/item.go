package jetstream

import (
	"encoding/hex"
	"strconv"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// The headers of items. Dead letters and messages have the same ones as their fields in a Redis stream, and their bytes
// as hex.
const (
	headerID        = "id"
	headerTime      = "ts" // the record's, or when it was received
	headerCodec     = "codec"
	headerReason    = "reason"
	headerTransport = "transport"
	headerType      = "type"
	headerSent      = "sent"
)

// timeLayout is ISO 8601 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// headerRoom is more than an item's headers and those of its batch ever take.
const headerRoom = 1 << 10

// sizeOf is what the server counts of an item, at the most.
func sizeOf(b *engine.Batch, k engine.Kind, i int) int {
	switch k {
	case engine.KindRecord:
		return len(b.Records[i].Payload) + headerRoom
	case engine.KindDeadLetter:
		return 2*len(b.DeadLetters[i].Frame) + headerRoom
	}
	return 2*len(b.Messages[i].Payload) + headerRoom
}

// setItem makes the message of an item, in place of the one before.
func (l *lane) setItem(b *engine.Batch, k engine.Kind, i int) {
	clear(l.message.Header)
	switch k {
	case engine.KindRecord:
		r := &b.Records[i]
		l.set(headerID, text(r.ID))
		l.set(headerTime, text(r.Time))
		l.set(headerCodec, r.Codec)
		l.address(k, r.DeviceID, r.Payload)
	case engine.KindDeadLetter:
		d := &b.DeadLetters[i]
		l.set(headerTime, d.Received.UTC().Format(timeLayout))
		l.set(headerReason, d.Reason)
		l.set(headerCodec, d.Codec)
		l.set(headerTransport, d.Transport)
		l.address(k, d.DeviceID, l.hex(d.Frame))
	case engine.KindMessage:
		m := &b.Messages[i]
		l.set(headerTime, m.Received.UTC().Format(timeLayout))
		l.set(headerCodec, m.Codec)
		l.set(headerType, strconv.Itoa(int(m.Type)))
		if !m.Sent.IsZero() {
			l.set(headerSent, m.Sent.UTC().Format(timeLayout))
		}
		l.address(k, m.DeviceID, l.hex(m.Payload))
	}
}

// text is the bytes as they are, without a copy: the library copies what it is given before it returns.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (l *lane) set(name, value string) {
	values := l.values[name]
	if values == nil {
		values = make([]string, 1)
		l.values[name] = values
	}
	values[0] = value
	l.message.Header[name] = values
}

func (l *lane) address(k engine.Kind, device string, data []byte) {
	if device != l.device || k != l.kind || l.subject == "" {
		l.device, l.kind, l.subject = device, k, subject(k, l.shard, device)
	}
	l.message.Subject, l.message.Data = l.subject, data
}

func (l *lane) hex(b []byte) []byte {
	l.digits = hex.AppendEncode(l.digits[:0], b)
	return l.digits
}

// parseDeadLetter reads what setItem writes. A message that is no dead letter is left out.
func parseDeadLetter(m *nats.Msg, device string) (d engine.DeadLetter, ok bool) {
	received, err := time.Parse(timeLayout, m.Header.Get(headerTime))
	if err != nil {
		return d, false
	}
	frame, err := hex.DecodeString(string(m.Data))
	if err != nil {
		return d, false
	}
	return engine.DeadLetter{
		DeviceID: device, Codec: m.Header.Get(headerCodec), Reason: m.Header.Get(headerReason), Received: received,
		Transport: m.Header.Get(headerTransport), Frame: frame,
	}, true
}

// parseMessage reads what setItem writes.
func parseMessage(m *nats.Msg, device string) (out engine.Message, ok bool) {
	received, err := time.Parse(timeLayout, m.Header.Get(headerTime))
	if err != nil {
		return out, false
	}
	kind, err := strconv.ParseUint(m.Header.Get(headerType), 10, 8)
	if err != nil {
		return out, false
	}
	out = engine.Message{
		DeviceID: device, Codec: m.Header.Get(headerCodec), Type: byte(kind), Received: received,
	}
	if sent := m.Header.Get(headerSent); sent != "" {
		if out.Sent, err = time.Parse(timeLayout, sent); err != nil {
			return out, false
		}
	}
	out.Payload, err = hex.DecodeString(string(m.Data))
	return out, err == nil
}
