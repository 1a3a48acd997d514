package teltonika

import (
	"encoding/binary"
	"math"
)

// Codec 7 (GH1201, GH3000, GH4000 and other personal trackers; not on the vendor's page), one record:
//
//	 0                   4        5
//	+-------------------+--------+-------------+----------------------+---------+---------+
//	| priority, 2 bits; | global | GPS element | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 |
//	| time, 30 bits     | mask   |             |                      |         |         |
//	+-------------------+--------+-------------+----------------------+---------+---------+
//	                      bit 0:   is there      bit 1: is there        bit 2     bit 3
//
// The time counts seconds from the start of 2007 UTC. Counts and ids are one byte each. There is no event id and no
// total. The GPS element has the fields whose bits of its own mask are set, bit 0 first:
//
//	 0          1
//	+----------+---------+---------+--------+------+------+------+------+------+-------+------+
//	| GPS mask | lat f32 | lon f32 | alt    | ang  | spd  | sat  | LAC  | CID  | sig   | oper |
//	| u8       |         |         | i16    | u8   | u8   | u8   | u16  | u16  | u8    | u32  |
//	+----------+---------+---------+--------+------+------+------+------+------+-------+------+
//	             bit 0               bit 1    bit 2  bit 3  bit 4  bit 5         bit 6   bit 7
//
// Latitude stands before longitude, both in degrees; the angle's unit is 360/256 degree.
const (
	epoch7      = 1167609600 // 2007-01-01 in s since 1970
	timeBits7   = 30
	timeMask7   = 1<<timeBits7 - 1
	maskOfGPS   = 1 // of the global mask, whose upper half has no known meaning and is ignored
	angleSteps7 = 256
)

// maskOfGroup is the bit of the global mask that says that the group is there, Group1 to Group4.
func maskOfGroup(g Group) byte { return 2 << g }

// layout7 are the groups of Codec 7.
var layout7 = layout{idSize: 1, countSize: 1, groups: []Group{Group1, Group2, Group4}}

// gpsFields are the parts of the GPS element, in the order of their bits in the GPS mask and in Fields.
var gpsFields = [...]namedField{
	{"latitude and longitude", 8}, {"altitude", 2}, {"angle", 1}, {"speed", 1}, {"satellites", 1},
	{"LAC and CID", 4}, {"signal", 1}, {"operator", 4},
}

// decode7 does for Codec 7 what layout.decode does for the others.
func decode7(data []byte, p int, r *Record, els []Element) (next int, elements []Element, ok bool) {
	w := walker{data: data, p: p}
	mask := w.head7(r)
	if w.stopped {
		return 0, nil, false
	}
	for _, g := range layout7.groups {
		if mask&maskOfGroup(g) == 0 {
			continue
		}
		if w.p, els, ok = narrowGroup(data, w.p, g, els); !ok {
			return 0, nil, false
		}
	}
	return w.p, els, true
}

// record7 visits the fields of a record.
func (w *walker) record7() {
	mask := w.head7(new(Record))
	for _, g := range layout7.groups {
		if mask&maskOfGroup(g) != 0 {
			w.groupOf(&layout7, g)
		}
	}
}

// head7 reads what stands before the groups into r, and returns the global mask.
func (w *walker) head7(r *Record) byte {
	at := uintOf(w.take("timestamp", 4))
	r.Priority = uint8(at >> timeBits7)
	r.Timestamp = (at&timeMask7 + epoch7) * 1000
	mask := byte(uintOf(w.take("global mask", 1)))
	r.Lacks = allFields
	if mask&maskOfGPS != 0 {
		w.gps7(r)
	}
	return mask
}

func (w *walker) gps7(r *Record) {
	mask := Fields(uintOf(w.take("GPS mask", 1)))
	r.Lacks = ^mask
	for i, f := range gpsFields {
		field := Fields(1) << i
		if mask&field == 0 {
			continue
		}
		if b := w.take(f.name, f.size); b != nil {
			r.setGPS7(field, b)
		}
	}
}

// setGPS7 sets a field from its bytes in the GPS element.
func (r *Record) setGPS7(field Fields, b []byte) {
	switch field {
	case FieldCoordinates:
		var latOK, lonOK bool
		r.Latitude, latOK = fromFloat7(b)
		r.Longitude, lonOK = fromFloat7(b[4:])
		if !latOK || !lonOK {
			r.Latitude, r.Longitude = 0, 0
			r.Lacks |= FieldCoordinates
		}
	case FieldAltitude:
		r.Altitude = int16(binary.BigEndian.Uint16(b))
	case FieldAngle:
		r.Angle = uint16(math.RoundToEven(float64(b[0]) * 360 / angleSteps7))
	case FieldSpeed:
		r.Speed = uint16(b[0])
	case FieldSatellites:
		r.Satellites = b[0]
	case FieldCell:
		r.LAC, r.CID = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case FieldSignal:
		r.Signal = b[0]
	case FieldOperator:
		r.Operator = binary.BigEndian.Uint32(b)
	}
}

// fromFloat7 is a coordinate in 1e-7 degree. It is not ok if it is no number, or is so far off the globe that an
// int32 cannot hold it.
func fromFloat7(b []byte) (coordinate int32, ok bool) {
	v := math.RoundToEven(float64(math.Float32frombits(binary.BigEndian.Uint32(b))) * 1e7)
	if !(v >= math.MinInt32 && v <= math.MaxInt32) {
		return 0, false
	}
	return int32(v), true
}

// encodable7 checks what Codec 7 has less room for than the record.
func (r *Record) encodable7() *Error {
	const first, last = epoch7 * 1000, (epoch7 + timeMask7) * 1000
	switch {
	case r.Timestamp < first || r.Timestamp > last || r.Timestamp%1000 != 0:
		return unencodable("timestamp", "%d ms, expected whole seconds from %d to %d",
			r.Timestamp, uint64(first), uint64(last))
	case r.Priority > 3:
		return unencodable("priority", "%d, at most 3 in codec 7", r.Priority)
	case r.EventID != 0:
		return unencodable("event id", "%d, codec 7 has none", r.EventID)
	case r.Has(FieldAngle) && r.Angle >= 360:
		return unencodable("angle", "%d degrees, at most 359 in codec 7", r.Angle)
	case r.Has(FieldSpeed) && r.Speed > 0xFF:
		return unencodable("speed", "%d km/h, at most 255 in codec 7", r.Speed)
	}
	for _, g := range layout7.groups {
		if n := r.count(g); n > 0xFF {
			return unencodable(groupName(g)+" element count", "%d, at most 255 in codec 7", n)
		}
	}
	return nil
}

// appendRecord7 appends a record, which recordEncodable has found to fit.
func appendRecord7(dst []byte, r *Record) []byte {
	var mask byte
	if r.Lacks != allFields {
		mask |= maskOfGPS
	}
	for _, e := range r.Elements {
		mask |= maskOfGroup(e.Group)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Priority)<<timeBits7|uint32(r.Timestamp/1000-epoch7))
	dst = append(dst, mask)
	if mask&maskOfGPS != 0 {
		dst = appendGPS7(dst, r)
	}
	for _, g := range layout7.groups {
		if mask&maskOfGroup(g) != 0 {
			dst = layout7.appendGroup(dst, r, g)
		}
	}
	return dst
}

func appendGPS7(dst []byte, r *Record) []byte {
	dst = append(dst, byte(^r.Lacks))
	if r.Has(FieldCoordinates) {
		dst = appendFloat7(dst, r.Latitude)
		dst = appendFloat7(dst, r.Longitude)
	}
	if r.Has(FieldAltitude) {
		dst = binary.BigEndian.AppendUint16(dst, uint16(r.Altitude))
	}
	if r.Has(FieldAngle) {
		dst = append(dst, byte(math.Round(float64(r.Angle)*angleSteps7/360)))
	}
	if r.Has(FieldSpeed) {
		dst = append(dst, byte(r.Speed))
	}
	if r.Has(FieldSatellites) {
		dst = append(dst, r.Satellites)
	}
	if r.Has(FieldCell) {
		dst = binary.BigEndian.AppendUint16(dst, r.LAC)
		dst = binary.BigEndian.AppendUint16(dst, r.CID)
	}
	if r.Has(FieldSignal) {
		dst = append(dst, r.Signal)
	}
	if r.Has(FieldOperator) {
		dst = binary.BigEndian.AppendUint32(dst, r.Operator)
	}
	return dst
}

func appendFloat7(dst []byte, coordinate int32) []byte {
	return binary.BigEndian.AppendUint32(dst, math.Float32bits(float32(float64(coordinate)/1e7)))
}
