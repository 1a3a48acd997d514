package teltonika

import (
	"encoding/binary"
	"slices"
)

// layout is what differs between the records of the AVL codecs. Codec 7, whose masks say what is there, takes only its
// groups from it.
type layout struct {
	idSize     int // of event and element ids, in bytes
	countSize  int // of the total and the groups' counts, in bytes
	generation bool
	groups     []Group // in wire order
}

// layout of the codec's records, nil if the codec is none of AVL data.
func (d *AVLData) layout() *layout {
	switch {
	case d.Codec == Codec7:
		return &layout7
	case d.Codec == Codec8 && d.N16:
		return &layout8N16
	case d.Codec == Codec8:
		return &layout8
	case d.Codec == Codec8E:
		return &layout8E
	case d.Codec == Codec16:
		return &layout16
	}
	return nil
}

// fixedSize is the size in bytes of what every record of every codec but 7 begins with:
//
//	 0           8    9     13    17    19    21    22    24
//	+-----------+----+-----+-----+-----+-----+-----+-----+
//	| timestamp | pr | lon | lat | alt | ang | sat | spd |
//	+-----------+----+-----+-----+-----+-----+-----+-----+
//
// Longitude stands before latitude.
const fixedSize = 24

type namedField struct {
	name string
	size int // in bytes
}

// fixedFields are the fields of the fixed part in wire order.
var fixedFields = []namedField{
	{"timestamp", 8}, {"priority", 1}, {"longitude", 4}, {"latitude", 4}, {"altitude", 2},
	{"angle", 2}, {"satellites", 1}, {"speed", 2},
}

// The sizes of what stands before the groups, in bytes, in layouts with ids of 1 and 2 bytes.
const (
	headNarrow = fixedSize + 2
	headWide   = fixedSize + 4
)

// decode reads the record that begins at offset p of data into r and appends its elements to els. It returns where the
// next record begins. It is not ok if the record does not fit; walker.recordOf finds out why. For the sake of speed it
// tells only two kinds of layouts apart, those with ids of 1 and of 2 bytes.
func (l *layout) decode(data []byte, p int, r *Record, els []Element) (next int, elements []Element, ok bool) {
	start := p
	if l.idSize == 1 {
		if len(data)-p < headNarrow {
			return 0, nil, false
		}
		b := data[p : p+headNarrow]
		p += headNarrow
		decodeFixed(b, r)
		r.EventID, r.Total = uint16(b[24]), uint16(b[25])
		for g := Group1; g <= Group8; g++ {
			if p, els, ok = narrowGroup(data, p, g, els); !ok {
				return 0, nil, false
			}
		}
	} else {
		if len(data)-p < headWide {
			return 0, nil, false
		}
		b := data[p : p+headWide]
		p += headWide
		decodeFixed(b, r)
		r.EventID = binary.BigEndian.Uint16(b[24:])
		if l.generation {
			r.Generation, r.Total = b[26], uint16(b[27])
		} else {
			r.Total = binary.BigEndian.Uint16(b[26:])
		}
		for g := Group1; g <= Group8; g++ {
			if p, els, ok = wideGroup(data, p, l.countSize, g, els); !ok {
				return 0, nil, false
			}
		}
	}
	if len(l.groups) > int(Group8)+1 {
		return bytesGroup(data, p, start, l.groups[Group8+1], els)
	}
	return p, els, true
}

func decodeFixed(b []byte, r *Record) {
	_ = b[fixedSize-1]
	r.Timestamp = binary.BigEndian.Uint64(b)
	r.Priority = b[8]
	r.Longitude = int32(binary.BigEndian.Uint32(b[9:]))
	r.Latitude = int32(binary.BigEndian.Uint32(b[13:]))
	r.Altitude = int16(binary.BigEndian.Uint16(b[17:]))
	r.Angle = binary.BigEndian.Uint16(b[19:])
	r.Satellites = b[21]
	r.Speed = binary.BigEndian.Uint16(b[22:])
}

// append appends a record that is encodable.
func (l *layout) append(dst []byte, r *Record) []byte {
	dst = appendFixed(dst, r)
	dst = appendShort(dst, l.idSize, int(r.EventID))
	if l.generation {
		dst = append(dst, r.Generation)
	}
	dst = appendShort(dst, l.countSize, len(r.Elements))
	for _, g := range l.groups {
		dst = l.appendGroup(dst, r, g)
	}
	return dst
}

func (l *layout) appendGroup(dst []byte, r *Record, g Group) []byte {
	dst = appendShort(dst, l.countSize, r.count(g))
	for _, e := range r.Elements {
		if e.Group == g {
			dst = appendElement(appendShort(dst, l.idSize, int(e.ID)), r, e)
		}
	}
	return dst
}

func appendFixed(dst []byte, r *Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, r.Timestamp)
	dst = append(dst, r.Priority)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Longitude))
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Latitude))
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.Altitude))
	dst = binary.BigEndian.AppendUint16(dst, r.Angle)
	dst = append(dst, r.Satellites)
	return binary.BigEndian.AppendUint16(dst, r.Speed)
}

// appendShort appends a number of 1 or 2 bytes.
func appendShort(dst []byte, size, n int) []byte {
	if size == 1 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

// maxOf is the largest number of size bytes, 1 or 2.
func maxOf(size int) int { return 1<<(8*size) - 1 }

func (l *layout) has(g Group) bool { return slices.Contains(l.groups, g) }
