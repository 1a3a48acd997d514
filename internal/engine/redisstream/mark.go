package redisstream

import (
	"encoding/binary"
	"errors"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// A device's mark is what was stored of it last. It is the value of the device's field in the hash <stream>:last:
//
//	version (1 byte)  writer (4)  { position: ms, seq  n  n × { timestamp  hash (8) } } …
//
// Numbers without a size are varints. A timestamp is the difference to the one before it in the same frame, for the
// first one to 0. Frames that were stored in one batch have one position, behind which their entries are.

// mark is a mark as it was read.
type mark struct {
	writer uint32 // the engine that wrote it, see Engine.writer
	frames []markedFrame
}

// markedFrame are records that came in one batch.
type markedFrame struct {
	after   streamID // the entries come after this one
	records []markedRecord
	raw     []byte // as it was read
}

type markedRecord struct {
	timestamp int64
	hash      uint64
}

const (
	markVersion = 1
	// markRecords is how many records a mark has at the most: a frame has 255.
	markRecords = 256
	// markFrames is how many frames before the latest a mark keeps of a device that has come lately. Some devices send the
	// latest frame first, and then what was not acknowledged.
	markFrames = 3
)

var errMark = errors.New("the mark of a device is not one that this version writes")

// appendHeader begins a mark.
func appendHeader(b []byte, writer uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(b, markVersion), writer)
}

// appendFrameHeader is followed by n times appendMarked.
func appendFrameHeader(b []byte, after streamID, n int) []byte {
	b = binary.AppendUvarint(b, after.ms)
	b = binary.AppendUvarint(b, after.seq)
	return binary.AppendUvarint(b, uint64(n))
}

// appendMarked appends a record behind one with the timestamp before.
func appendMarked(b []byte, r *engine.Record, before int64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendVarint(b, r.Timestamp-before), r.Hash)
}

// parseMark reads a mark. What it returns refers to b.
func parseMark(b []byte) (m mark, err error) {
	if len(b) < 5 || b[0] != markVersion {
		return m, errMark
	}
	m.writer = binary.LittleEndian.Uint32(b[1:])
	for b = b[5:]; len(b) > 0; {
		var f markedFrame
		if f, b, err = parseFrame(b); err != nil {
			return mark{}, err
		}
		m.frames = append(m.frames, f)
	}
	return m, nil
}

func parseFrame(b []byte) (f markedFrame, rest []byte, err error) {
	rest = b
	number := func() (n uint64) {
		var size int
		if n, size = binary.Uvarint(rest); size <= 0 {
			err, rest = errMark, nil
			return 0
		}
		rest = rest[size:]
		return n
	}
	f.after.ms, f.after.seq = number(), number()
	n := number()
	if err != nil || n > markRecords {
		return f, nil, errMark
	}
	timestamp := int64(0)
	for range n {
		d, size := binary.Varint(rest)
		if size <= 0 || len(rest) < size+8 {
			return f, nil, errMark
		}
		timestamp += d
		f.records = append(f.records, markedRecord{timestamp, binary.LittleEndian.Uint64(rest[size:])})
		rest = rest[size+8:]
	}
	f.raw = b[:len(b)-len(rest)]
	return f, rest, nil
}

// place is behind which entry the record was written last, if it is in the mark.
func (m *mark) place(r *engine.Record) (after streamID, known bool) {
	for i := range m.frames {
		if slices.Contains(m.frames[i].records, markedRecord{r.Timestamp, r.Hash}) {
			return m.frames[i].after, true
		}
	}
	return after, false
}

// appendCarried appends the frames that stay in the mark behind n records that are new: the latest ones only, unless
// the device is known to send again what it has sent.
func (m *mark) appendCarried(b []byte, n int, resent bool) []byte {
	for i, f := range m.frames {
		if n += len(f.records); n > markRecords || i >= markFrames && !resent {
			break
		}
		b = append(b, f.raw...)
	}
	return b
}
