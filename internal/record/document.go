// Package record is what is published: one JSON document for each AVL record, and the id by which the same
// record is known again when a device sends it a second time.
//
// The id is no integrity check. Its hash is xxHash64, which has no secret: whoever makes the bytes can make other bytes of
// the same device and millisecond that have the same id. The publisher and the embedded engine take the second for the
// first sent again, acknowledge it and do not store it; on Redis, once the publisher has forgotten the first, both are
// stored under one id. A device can only lose records of its own by that, because its name is part of the id.
package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// ErrTimestamp is the error of a record whose timestamp is beyond MaxTimestamp.
var ErrTimestamp = errors.New("timestamp beyond the year 9999")

// Origin is what the records of one frame have in common.
type Origin struct {
	DeviceID string // 1 to 64 ASCII letters and digits: it is written without escapes
	Codec    teltonika.Codec
	Received time.Time
}

// Document is one published record. Its slices are parts of the buffer that it was appended to.
type Document struct {
	Hash    uint64 // xxHash64 of the record's bytes as sent
	Time    []byte // the timestamp as ISO 8601 with milliseconds and Z
	ID      []byte // <device id>-<timestamp ms>-<Hash in 16 hex digits>; see the package's comment
	Payload []byte // the JSON document
}

// Encoder writes the documents of one frame after the other. The zero value is ready for Begin; one encoder
// serves one goroutine at a time and allocates nothing once it is warm.
type Encoder struct {
	// Raw adds the record's bytes, in base64, as the last key.
	Raw bool

	codec    teltonika.Codec
	head     []byte   // {"device_id":"...","timestamp":"
	tail     []byte   // ","codec":"...","received_at":"...","id":"<device id>-
	idPrefix int      // length of <device id>-
	received calendar // of the times of Begin
	sent     calendar // of the records' times, often days before

	// Scratch for records that repeat an id: the elements to write, and where each id is among them.
	elements []teltonika.Element
	places   map[uint16]int
}

// Begin sets what the following records have in common.
func (e *Encoder) Begin(o Origin) {
	e.codec = o.Codec
	e.head = append(e.head[:0], `{"device_id":"`...)
	e.head = append(e.head, o.DeviceID...)
	e.head = append(e.head, `","timestamp":"`...)

	e.tail = append(e.tail[:0], `","codec":"`...)
	e.tail = append(e.tail, o.Codec.String()...)
	e.tail = append(e.tail, `","received_at":"`...)
	e.tail = e.received.append(e.tail, possibleTime(o.Received.UnixMilli()))
	e.tail = append(e.tail, `","id":"`...)
	e.tail = append(e.tail, o.DeviceID...)
	e.tail = append(e.tail, '-')
	e.idPrefix = len(o.DeviceID) + 1
}

// Append appends the document of one record, which must have its Raw, to dst. The only error is ErrTimestamp; dst
// is then returned as it was. Of dst's free capacity, a few bytes behind the document may be overwritten too.
func (e *Encoder) Append(dst []byte, r *teltonika.Record) ([]byte, Document, error) {
	if r.Timestamp > MaxTimestamp {
		return dst, Document{}, fmt.Errorf("%w: %d ms", ErrTimestamp, r.Timestamp)
	}
	start := len(dst)
	dst = append(dst, e.head...)
	timeStart := len(dst)
	dst = e.sent.append(dst, int64(r.Timestamp))
	timeEnd := len(dst)
	dst = appendPosition(dst, r)
	dst = e.appendAttributes(dst, r)
	if e.codec != teltonika.Codec7 {
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
	if e.Raw {
		dst = append(dst, `","raw":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Raw)
	}
	dst = append(dst, `"}`...)
	return dst, Document{
		Hash:    hash,
		Time:    dst[timeStart:timeEnd:timeEnd],
		ID:      dst[idStart:idEnd:idEnd],
		Payload: dst[start:len(dst):len(dst)],
	}, nil
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
