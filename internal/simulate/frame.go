package simulate

import (
	"encoding/binary"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// frame is the one frame that a device has sent, or is about to send, and that is not acknowledged yet. It
// is kept as bytes, so that sending it again sends the same.
type frame struct {
	bytes   []byte
	count   int // records; 0 = there is no frame
	sent    int // how many times
	records []sentRecord
	limit   int // bytes of the body; 0 = no limit
}

// sentRecord is where a record lies in the frame.
type sentRecord struct {
	timestamp  int64 // ms
	start, end int
}

// build makes the frame of the positions, in their order or reversed, and returns how many of them fit: at least one.
// With noted it remembers where the records lie.
func (f *frame) build(m *model, device identity, positions []position, reversed, noted bool) int {
	n := len(positions)
	f.sent, f.records = 0, f.records[:0]
	b := append(f.bytes[:0], 0, 0, 0, 0, 0, 0, 0, 0, byte(m.codec), 0)
	f.count = 0
	for i := range positions {
		p := &positions[i]
		if reversed {
			p = &positions[n-1-i]
		}
		start := len(b)
		b = m.appendRecord(b, p, device)
		if f.limit > 0 && len(b)+1-teltonika.HeaderSize > f.limit && i > 0 {
			b = b[:start]
			break
		}
		f.count++
		if noted {
			f.records = append(f.records, sentRecord{timestamp: p.timestamp, start: start, end: len(b)})
		}
	}
	b[teltonika.HeaderSize+1] = byte(f.count)
	b = append(b, byte(f.count))
	body := b[teltonika.HeaderSize:]
	binary.BigEndian.PutUint32(b[4:], uint32(len(body)))
	f.bytes = binary.BigEndian.AppendUint32(b, uint32(teltonika.CRC(body)))
	return f.count
}

// body is what a datagram carries of the frame: not the header and the CRC.
func (f *frame) body() []byte { return teltonika.Frame(f.bytes).Body() }
