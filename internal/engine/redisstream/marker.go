package redisstream

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// marker writes the marks of a lane's batches. What it knows of a batch is of its records' devices.
type marker struct {
	key    string
	writer uint32
	on     bool // there are marks for this batch

	after  streamID  // behind which entry the batch's records come
	placed time.Time // when newest was confirmed to the lane

	stretches []stretch       // of the batch
	latest    map[string]int  // each device's latest stretch
	read      map[string]mark // the marks that were read, because some of their devices' records are in doubt
	left      map[int]bool    // records of the batch that were left to the device, and are whenever the batch comes again
	value     []byte          // reused
}

// stretch is records of one device that follow one another.
type stretch struct {
	first, end int
	earlier    int  // the device's stretch before; -1 = there is none
	superseded bool // there is a later one, the mark of which has these records too
	claim      bool // the mark is written although no record is: this engine is its writer from now on
	written    int  // records that are written, with those of the stretches before
}

func newMarker(stream string, writer uint32) marker {
	return marker{
		key: markKey(stream), writer: writer, latest: map[string]int{}, read: map[string]mark{}, left: map[int]bool{},
	}
}

// markKey is the key of the hash of marks, and olderMarkKey of the one before.
func markKey(stream string) string      { return stream + ":last" }
func olderMarkKey(stream string) string { return markKey(stream) + ":old" }

// begin finds the stretches. again says that the batch was there before.
func (m *marker) begin(b *engine.Batch, again bool) {
	m.end()
	if !again {
		clear(m.left)
	}
	for i := range b.Records {
		if n := len(m.stretches); n > 0 && b.Records[i].DeviceID == b.Records[m.stretches[n-1].first].DeviceID {
			m.stretches[n-1].end = i + 1
			continue
		}
		earlier, known := m.latest[b.Records[i].DeviceID]
		if known {
			m.stretches[earlier].superseded = true
		} else {
			earlier = -1
		}
		m.latest[b.Records[i].DeviceID] = len(m.stretches)
		m.stretches = append(m.stretches, stretch{first: i, end: i + 1, earlier: earlier})
	}
}

// end keeps nothing of the batch.
func (m *marker) end() {
	clear(m.latest)
	clear(m.read)
	m.stretches = m.stretches[:0]
}

// claim has the device's mark be written in any case.
func (m *marker) claim(device string) {
	m.stretches[m.latest[device]].claim = true
}

// append appends HSET <stream>:last with a mark of each device that has records to write, and reports whether there
// are any.
func (m *marker) append(out []byte, b *engine.Batch) ([]byte, bool) {
	if !m.on {
		return out, false
	}
	records, _, _ := b.ByKind()
	devices := 0
	for i := range m.stretches {
		r := &m.stretches[i]
		for k := r.first; k < r.end; k++ {
			if !isSettled(&records[k]) {
				r.written++
			}
		}
		if r.earlier >= 0 {
			r.written += m.stretches[r.earlier].written
		}
		if r.due() {
			devices++
		}
	}
	if devices == 0 {
		return out, false
	}
	out = appendLength(out, '*', 2+2*devices)
	out = appendBulk(out, "HSET")
	out = appendBulk(out, m.key)
	for i := range m.stretches {
		if r := &m.stretches[i]; r.due() {
			out = appendBulk(out, b.Records[r.first].DeviceID)
			m.value = m.appendMark(m.value[:0], r, b.Records, records)
			out = appendBulk(out, m.value)
		}
	}
	return out, true
}

// due reports whether the stretch's device gets a mark by it.
func (r *stretch) due() bool { return !r.superseded && (r.claim || r.written > 0) }

// appendMark appends the mark of the stretch's device.
func (m *marker) appendMark(v []byte, r *stretch, all []engine.Record, results []engine.Result) []byte {
	v = appendHeader(v, m.writer)
	device, resent, n := all[r.first].DeviceID, r.claim, min(r.written, markRecords)
	if n > 0 {
		v = appendFrameHeader(v, m.after, n)
	}
	timestamp := int64(0)
	for left := n; ; r = &m.stretches[r.earlier] {
		for i := r.end - 1; i >= r.first; i-- {
			resent = resent || results[i].Duplicate || all[i].Doubt&engine.Repeated != 0
			if left > 0 && !isSettled(&results[i]) {
				v = appendMarked(v, &all[i], timestamp)
				timestamp = all[i].Timestamp
				left--
			}
		}
		if r.earlier < 0 {
			break
		}
	}
	if before, known := m.read[device]; known {
		v = before.appendCarried(v, n, resent)
	}
	return v
}

// isSettled reports whether an item's fate is known before the batch is written.
func isSettled(r *engine.Result) bool { return r.Duplicate || r.Err != nil }
