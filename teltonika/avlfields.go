package teltonika

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// fixedSize is the size in bytes of what every record of every codec but 7 begins with:
//
//	 0           8    9     13    17    19    21    22    24
//	+-----------+----+-----+-----+-----+-----+-----+-----+
//	| timestamp | pr | lon | lat | alt | ang | sat | spd |
//	+-----------+----+-----+-----+-----+-----+-----+-----+
//
// Longitude stands before latitude.
const fixedSize = 24

type headField struct {
	name string
	size int
}

// fixedFields are the fields of the fixed part in wire order.
var fixedFields = []headField{
	{"timestamp", 8}, {"priority", 1}, {"longitude", 4}, {"latitude", 4}, {"altitude", 2},
	{"angle", 2}, {"satellites", 1}, {"speed", 2},
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

// overrunHead is the error of a record that begins at p and whose fields before the groups do not fit: the
// fixed ones, then those of rest.
func overrunHead(data []byte, p int, rest ...headField) *Error {
	fields := slices.Concat(fixedFields, rest)
	i := 0
	for ; p+fields[i].size <= len(data); i++ {
		p += fields[i].size
	}
	return overrun(data, p, fields[i].name, fields[i].size)
}

// overrun is the error of a field of size bytes at offset p.
func overrun(data []byte, p int, field string, size int) *Error {
	return fail(ErrOverrun, field, p, "%d bytes long, %d are left", size, max(0, len(data)-p))
}

func recordField(i int, field string) string { return fmt.Sprintf("record %d %s", i+1, field) }
