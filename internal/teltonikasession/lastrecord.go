package teltonikasession

import (
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxLast is the longest record that is kept, in bytes. Beyond it no condition is met.
const maxLast = 2 << 10

// lastRecord is the last record that came on the connection, as it was sent. It is read for people who have a condition
// only, so keeping it is a copy of a few hundred bytes into the same place.
type lastRecord struct {
	received time.Time // with the monotonic clock; zero if there is none
	body     []byte    // a data field with nothing but the record
}

// keep takes the newest record of the frame, stored or not: it is the last that is known of the vehicle. A frame
// without one says nothing of it. The socket is the session's meanwhile, so nobody reads.
func (l *lastRecord) keep(w *frameContext) {
	switch r := w.newest; {
	case r == nil:
	case len(r.Raw) > maxLast:
		*l = lastRecord{}
	default:
		l.received = w.Received
		l.body = append(slices.Grow(l.body[:0], len(r.Raw)+3), byte(w.Codec), 1)
		l.body = append(append(l.body, r.Raw...), 1)
	}
}

// check is nil if the device's last record allows the command to be written now. The lock is held.
func (s *sender) check(out *outgoing) error {
	if out.onlyIf == nil {
		return nil
	}
	return out.onlyIf.Check(s.last.as(record.Origin{
		DeviceID: s.imei, Transport: engine.TCP, Meaning: s.session.meaningOf(s.known),
	}, out.written))
}

// as is the record as it would be published, and how old it is.
func (l *lastRecord) as(o record.Origin, now time.Time) condition.Record {
	if l.received.IsZero() {
		return condition.Record{}
	}
	var data teltonika.AVLData
	if data.Decode(l.body) != nil {
		return condition.Record{}
	}
	var e record.Encoder
	o.Codec, o.Received = data.Codec, l.received
	e.Begin(o)
	_, all, err := e.Append(nil, nil, &data.Records[0])
	if err != nil {
		return condition.Record{}
	}
	return condition.Record{Document: all[0].Payload, Age: l.age(time.UnixMilli(int64(data.Records[0].Timestamp)), now)}
}

// age is how old the record is, at least. No clock alone makes it young: the monotonic one stands while the machine
// sleeps, the one on the wall may be set back, and a device may send today what it kept yesterday.
func (l *lastRecord) age(timestamp, now time.Time) time.Duration {
	here := max(0, now.Sub(l.received), now.Round(0).Sub(l.received.Round(0)))
	onTheWay := l.received.Sub(timestamp).Abs()
	const enough = 2 * condition.MaxAge // so that the sum of two durations is one
	return min(here, enough) + min(onTheWay, enough)
}
