package enginetest

import (
	"fmt"
	"hash/fnv"
	"strings"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Two devices, and the clock that theirs start from.
const (
	deviceA = "356307042441013"
	deviceB = "352093081452251"
)

var firstFix = time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)

// NewRecord returns the n-th record of a device: about 600 bytes of the published JSON document,
// ending with the id, one second after the record before it. The same arguments give the same ID.
func NewRecord(device string, n int) engine.Record {
	return newRecord(device, n, `"240":1,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}`)
}

// newRecord returns a record with the given IO elements in its document.
func newRecord(device string, n int, elements string) engine.Record {
	at := firstFix.Add(time.Duration(n) * time.Second)
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%s %d", device, n)
	r := engine.Record{
		DeviceID:  device,
		Codec:     "8E",
		Timestamp: at.UnixMilli(),
		Hash:      sum.Sum64(),
		Time:      at.AppendFormat(nil, "2006-01-02T15:04:05.000Z"),
	}
	r.ID = fmt.Appendf(nil, "%s-%d-%016x", device, r.Timestamp, r.Hash)
	r.Payload = fmt.Appendf(nil, `{"device_id":"%s","timestamp":"%s","latitude":54.667425,"longitude":25.2560283,`+
		`"altitude":172,"angle":248,"speed":%d,"satellites":11,"priority":1,"attributes":{%s%s},`+
		`"event_id":66,"fix":"ok","codec":"8E","received_at":"%s","id":"%s"}`,
		device, r.Time, n%120, commonElements, elements, r.Time, r.ID)
	return r
}

// commonElements is what a tracker reports with nearly every position.
var commonElements = func() string {
	var b strings.Builder
	for id := 9; id < 39; id++ {
		fmt.Fprintf(&b, `"%d":%d,`, id, id*83)
	}
	return b.String()
}()

// NewDeadLetter returns the n-th dead letter of a device.
func NewDeadLetter(device string, n int) engine.DeadLetter {
	return engine.DeadLetter{
		DeviceID: device,
		Codec:    "8",
		Reason:   "malformed",
		Received: firstFix.Add(time.Duration(n)*time.Second + 7*time.Millisecond),
		Frame:    fmt.Appendf(nil, "\x00\x00\x00\x00\xff\xfe frame %d of %s", n, device),

		Transport: []string{"tcp", "udp"}[n%2],
	}
}

// NewMessage returns the n-th message of a device, every other one with the device's time.
func NewMessage(device string, n int) engine.Message {
	m := engine.Message{
		DeviceID: device,
		Codec:    "12",
		Type:     0x0d,
		Received: firstFix.Add(time.Duration(n)*time.Second + 9*time.Millisecond),
		Payload:  fmt.Appendf(nil, "\x00\xff\r\n axle %d of %s", n, device),
	}
	if n%2 == 1 {
		m.Codec, m.Sent = "13", firstFix.Add(time.Duration(n)*time.Second)
	}
	return m
}

// NewBatch returns a batch of the device's records first to first+count-1, ready to be stored.
func NewBatch(device string, first, count int) *engine.Batch {
	b := &engine.Batch{}
	for n := first; n < first+count; n++ {
		b.Records = append(b.Records, NewRecord(device, n))
	}
	return Sized(b)
}

// Sized gives the batch fresh results for its items, and an ID if it has none, and returns it.
func Sized(b *engine.Batch) *engine.Batch {
	b.Results = make([]engine.Result, b.Len())
	if b.ID == 0 {
		renew(b)
	}
	return b
}

var batches atomic.Uint64

// renew makes another batch of it.
func renew(b *engine.Batch) { b.ID = batches.Add(1) }
