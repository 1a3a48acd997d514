package teltonika

import (
	"cmp"
	"encoding/binary"
	"slices"
	"testing"
)

// dice makes records from fuzz bytes; when they run out, it gives zeros.
type dice struct{ bytes []byte }

func (d *dice) take(n int) []byte {
	out := make([]byte, n)
	d.bytes = d.bytes[copy(out, d.bytes):]
	return out
}

func (d *dice) u8() byte    { return d.take(1)[0] }
func (d *dice) u16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *dice) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

// avlData is data that its codec can express.
func (d *dice) avlData() AVLData {
	kind := d.u8()
	data := AVLData{Codec: [...]Codec{Codec8, Codec8, Codec16, Codec8E, Codec7}[kind%5], N16: kind%5 == 1}
	for range int(d.u8()) % 12 {
		data.Records = append(data.Records, d.record(data.Codec, data.N16))
	}
	return data
}

func (d *dice) record(codec Codec, n16 bool) Record {
	r := Record{EventID: d.id(codec)}
	decodeFixed(d.take(fixedSize), &r)
	if codec == Codec16 {
		r.Generation = d.u8()
	}
	groups := []Group{Group1, Group2, Group4, Group8}
	switch {
	case codec == Codec7:
		d.only7(&r)
		groups = groups[:3]
	case codec == Codec8E:
		groups = append(groups, GroupX)
	case n16:
		groups = append(groups, Group16)
	}
	for range d.u8() {
		switch g := groups[int(d.u8())%len(groups)]; g {
		case GroupX:
			r.AddBytes(d.id(codec), g, d.take(int(d.u16()%1025)))
		case Group16:
			r.AddBytes(d.id(codec), g, d.take(16))
		default:
			r.AddNumber(d.id(codec), g, d.u64())
		}
	}
	return r
}

// only7 makes of a record one that Codec 7 can express, and gives it what only Codec 7 has.
func (d *dice) only7(r *Record) {
	r.EventID = 0
	r.Priority &= 3
	r.Timestamp = (r.Timestamp&timeMask7 + epoch7) * 1000
	mask := Fields(d.u8())
	at := make([]byte, 0, 8)
	at = appendFloat7(appendFloat7(at, r.Latitude), r.Longitude)
	*r = Record{Timestamp: r.Timestamp, Priority: r.Priority, Lacks: ^mask}
	for i, f := range gpsFields {
		if field := Fields(1) << i; field&mask == FieldCoordinates {
			r.setGPS7(field, at)
		} else if field&mask != 0 {
			r.setGPS7(field, d.take(f.size))
		}
	}
}

func (d *dice) id(codec Codec) uint16 {
	if codec == Codec8 || codec == Codec7 {
		return uint16(d.u8())
	}
	return d.u16()
}

// FuzzRoundTrip builds records, encodes them and decodes them again.
func FuzzRoundTrip(f *testing.F) {
	for n := range 40 {
		f.Add(append([]byte{byte(n), byte(n / 4)}, randomBytes(uint64(n), 50*n)...))
	}
	seed(f, vector.isAVL, func(v vector) []byte { return v.bytes(f) })
	f.Fuzz(func(t *testing.T, b []byte) {
		built := (&dice{b}).avlData()
		encoded, err := built.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		frame, rest, err := ParseFrame(encoded, len(encoded))
		if err != nil || len(rest) > 0 || frame.Verify() != nil || frame.Codec() != built.Codec ||
			frame.Count() != len(built.Records) {
			t.Fatalf("%v, %d bytes left, CRC: %v, codec %v, count %d", err, len(rest), frame.Verify(), frame.Codec(),
				frame.Count())
		}
		var decoded AVLData
		if err := decoded.Decode(frame.Body()); err != nil {
			t.Fatal(err)
		}
		checkRaw(t, frame.Body(), &decoded)
		if built.N16 && !decoded.N16 {
			return // fits Codec 8 without the group as well, and nothing on the wire says which is meant
		}
		for i := range built.Records {
			if r := &built.Records[i]; int(decoded.Records[i].Total) != len(r.Elements) && built.Codec != Codec7 {
				t.Fatalf("record %d: total %d of %d elements", i+1, decoded.Records[i].Total, len(r.Elements))
			}
			// Groups are sent in the order of their sizes, and elements in theirs within a group.
			slices.SortStableFunc(built.Records[i].Elements, func(a, b Element) int { return cmp.Compare(a.Group, b.Group) })
		}
		if got, want := describeAVL(&decoded), describeAVL(&built); got != want {
			t.Fatalf("decoded:\n got %s\nwant %s", got, want)
		}
	})
}
