// Package record is what is published: one JSON document for each AVL record, and the id by which the same
// record is known again when a device sends it a second time.
//
// The id is no integrity check. Its hash is xxHash64, which has no secret: whoever makes the bytes can make other bytes
// of the same device and millisecond that have the same id. The publisher and the embedded engine take the second for
// the first sent again, acknowledge it and do not store it; on Redis, once the publisher has forgotten the first, both
// are stored under one id. A device can only lose records of its own by that, because its name is part of the id.
package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// ErrTimestamp is the error of a record whose timestamp is beyond MaxTimestamp.
var ErrTimestamp = errors.New("timestamp beyond the year 9999")

// Origin is what all that a packet brings has in common.
type Origin struct {
	DeviceID  string // 1 to 64 ASCII letters and digits: it is written without escapes
	Codec     teltonika.Codec
	Received  time.Time
	Transport string // engine.TCP or engine.UDP; only dead letters say it

	Meaning *meaning.Device // what is known of the device, to say what its elements mean; nil: that is left out
}

// Encoder makes records of one frame after the other. The zero value is ready for Begin. One encoder serves one
// goroutine at a time and allocates nothing once it is warm.
type Encoder struct {
	// Raw adds the record's bytes, in base64, as the last key.
	Raw bool

	origin   Origin
	codec    string   // its name
	head     []byte   // {"device_id":"...","timestamp":"
	tail     []byte   // ","codec":"...","received_at":"...","id":"<device id>-
	idPrefix int      // length of <device id>-
	received calendar // of the times of Begin
	sent     calendar // of the records' times, often days before

	// Scratch for records that repeat an id: the elements to write, and where each id is among them.
	elements []teltonika.Element
	places   map[uint16]int

	// Scratch for what elements mean: a record's faults, and what a device's family is told from.
	faults []byte
	learnt []meaning.Element
}

// Begin sets what the following records have in common.
func (e *Encoder) Begin(o Origin) {
	e.origin, e.codec = o, o.Codec.String()
	e.head = append(e.head[:0], `{"device_id":"`...)
	e.head = append(e.head, o.DeviceID...)
	e.head = append(e.head, `","timestamp":"`...)

	e.tail = append(e.tail[:0], `","codec":"`...)
	e.tail = append(e.tail, e.codec...)
	e.tail = append(e.tail, `","received_at":"`...)
	e.tail = e.received.append(e.tail, possibleTime(o.Received.UnixMilli()))
	e.tail = append(e.tail, `","id":"`...)
	e.tail = append(e.tail, o.DeviceID...)
	e.tail = append(e.tail, '-')
	e.idPrefix = len(o.DeviceID) + 1
}

// Append appends a record, which must have its Raw, to records, and its document to dst, of which the record's slices
// are parts. The only error is ErrTimestamp; both are then returned as they were. Append may overwrite a few bytes of
// dst's free capacity behind the document.
func (e *Encoder) Append(dst []byte, records []engine.Record, r *teltonika.Record) ([]byte, []engine.Record, error) {
	if r.Timestamp > MaxTimestamp {
		return dst, records, fmt.Errorf("%w: %d ms", ErrTimestamp, r.Timestamp)
	}
	start := len(dst)
	dst = append(dst, e.head...)
	timeStart := len(dst)
	dst = e.sent.append(dst, int64(r.Timestamp))
	timeEnd := len(dst)
	dst = appendPosition(dst, r)
	dst, elements := e.appendAttributes(dst, r)
	if e.origin.Codec != teltonika.Codec7 {
		dst = append(dst, `,"event_id":`...)
		dst = appendUint(dst, uint64(r.EventID))
	}
	dst = append(dst, `,"fix":"`...)
	dst = append(dst, FixOf(r)...)
	dst = append(dst, e.tail...)
	idStart := len(dst) - e.idPrefix
	dst = appendUint(dst, r.Timestamp)
	dst = append(dst, '-')
	hash := xxhash.Sum64(r.Raw)
	dst = appendHex16(dst, hash)
	idEnd := len(dst)
	dst = append(dst, '"')
	dst = appendClock(dst, r.Timestamp, e.origin.Received.UnixMilli())
	dst = e.appendMeaning(dst, r, elements)
	if e.Raw {
		dst = append(dst, `,"raw":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Raw)
		dst = append(dst, '"')
	}
	dst = append(dst, '}')
	return dst, append(records, engine.Record{
		DeviceID: e.origin.DeviceID, Codec: e.codec, Timestamp: int64(r.Timestamp), Hash: hash,
		Time: dst[timeStart:timeEnd:timeEnd], ID: dst[idStart:idEnd:idEnd], Payload: dst[start:len(dst):len(dst)],
	}), nil
}

// appendPosition appends the members up to the priority, after a timestamp without its closing quote.
func appendPosition(dst []byte, r *teltonika.Record) []byte {
	if r.Lacks&position != 0 {
		return appendPartOfPosition(dst, r)
	}
	dst = append(dst, `","latitude":`...)
	dst = appendDegrees(dst, r.Latitude)
	dst = append(dst, `,"longitude":`...)
	dst = appendDegrees(dst, r.Longitude)
	dst = append(dst, `,"altitude":`...)
	dst = appendInt(dst, int64(r.Altitude))
	dst = append(dst, `,"angle":`...)
	dst = appendUint(dst, uint64(r.Angle))
	dst = append(dst, `,"speed":`...)
	dst = appendUint(dst, uint64(r.Speed))
	dst = append(dst, `,"satellites":`...)
	dst = appendByte(dst, r.Satellites)
	dst = append(dst, `,"priority":`...)
	return appendByte(dst, r.Priority)
}
