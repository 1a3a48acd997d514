package teltonika

// AVLData is the decoded data field of a frame of Codec 7, 8, 8 Extended or 16. It is meant to be reused:
// Decode overwrites it and allocates only to grow, and for an error. The records refer to the decoded bytes, which must
// stay unchanged while they are in use. The zero value is ready to decode into and to build records in.
type AVLData struct {
	Codec   Codec
	Count   int  // number of data 1, also after a failed Decode if the byte was there
	N16     bool // Codec 8 with a 16-byte group after the 8-byte one (old FM36 and FM4 devices)
	Records []Record

	elements []Element // backs Records[i].Elements
}

// Record is one AVL record: where a device was, when, and the state of its IO elements.
type Record struct {
	Timestamp  uint64 // ms since 1970 UTC, as sent: 0 and dates in 2004 come from devices without time
	Longitude  int32  // 1e-7 degree, east positive, as sent: may lie off the globe
	Latitude   int32  // 1e-7 degree, north positive
	Altitude   int16  // metres above sea level, may be negative
	Angle      uint16 // degrees from north, clockwise
	Speed      uint16 // km/h, from the satellites; 255 with 0 satellites is old firmware's mark of no fix
	EventID    uint16 // the element that caused the record, 0 for a periodic one; Codec 7 has none
	Total      uint16 // the number of elements that the record claims to have; the groups decide; Codec 7 has none
	Satellites uint8  // in use; 0 without a fix, when the position is the last one known, or 0
	Priority   uint8  // 0 low, 1 high, 2 panic, in Codec 7 3 alarm; other values are kept
	Generation uint8  // Codec 16 only: what generated the event, 0 to 7; other values are kept
	Lacks      Fields // Codec 7 only: the fields that are not there; they are 0
	Signal     uint8  // Codec 7 only, as LAC, CID and Operator: strength of the mobile network, 0 to 31 as seen
	LAC, CID   uint16 // area and cell of the mobile network
	Operator   uint32 // the mobile network: country and network code as one decimal number
	Elements   []Element
	Raw        []byte // the record's bytes as sent

	data []byte // holds the values that do not fit into an Element
}

// Fields is a set of fields of a record of Codec 7, in which each of these may be missing.
type Fields uint8

// The fields, as bits of the GPS mask of Codec 7.
const (
	FieldCoordinates Fields = 1 << iota // longitude and latitude
	FieldAltitude
	FieldAngle
	FieldSpeed
	FieldSatellites
	FieldCell // LAC and CID
	FieldSignal
	FieldOperator

	allFields Fields = 0xFF
)

// Has reports whether the record has all of the fields. A record that is not of Codec 7 has the first five.
func (r *Record) Has(f Fields) bool { return r.Lacks&f == 0 }

// Group is the size class that an IO element was sent in.
type Group uint8

// The groups, in wire order.
const (
	Group1  Group = iota // 1-byte values
	Group2               // 2-byte values
	Group4               // 4-byte values
	Group8               // 8-byte values
	Group16              // 16-byte values, Codec 8 with N16 only
	GroupX               // values with a length of their own, 0 to 65,535 bytes, Codec 8 Extended only

	// misfit is the group of an element whose value is not one of the group that it was added to.
	misfit Group = 0xFF
)

// size of a group's values in bytes. GroupX has none.
var groupSize = [...]int{Group1: 1, Group2: 2, Group4: 4, Group8: 8, Group16: 16}

// Element is one IO element. Its meaning, sign and scale depend on the device's model; see the vendor's
// AVL id lists.
type Element struct {
	ID    uint16
	Size  uint16 // of the value in bytes
	Group Group
	value uint64 // the number; for Group16 and GroupX where the bytes begin in Record.data
}

// Uint is the value of an element of Group1 to Group8 as an unsigned number.
func (e Element) Uint() uint64 { return e.value }

// Numeric reports whether the element is of Group1 to Group8, so that Uint is its value.
func (e Element) Numeric() bool { return e.Group <= Group8 }

// Bytes is the value of an element of Group16 or GroupX of this record. It is nil for any other.
func (r *Record) Bytes(e Element) []byte {
	if !r.holds(e) {
		return nil
	}
	return r.data[e.value : e.value+uint64(e.Size)]
}

// holds reports whether e has its bytes in the record's data, as elements of Group16 and GroupX do.
func (r *Record) holds(e Element) bool {
	n := uint64(len(r.data))
	return (e.Group == Group16 || e.Group == GroupX) && e.value <= n && uint64(e.Size) <= n-e.value
}

// AddNumber appends an element of Group1 to Group8. Bits of v beyond the group's size are cut off. With
// another group the record cannot be encoded any more.
func (r *Record) AddNumber(id uint16, g Group, v uint64) {
	if g > Group8 {
		r.Elements = append(r.Elements, Element{ID: id, Group: misfit})
		return
	}
	size := groupSize[g]
	v &= 1<<(8*size) - 1
	r.Elements = append(r.Elements, Element{ID: id, Size: uint16(size), Group: g, value: v})
}

// AddBytes appends an element of Group16 (16 bytes) or GroupX (up to 65,535 bytes) with a copy of value. With
// another group or length the record cannot be encoded any more.
func (r *Record) AddBytes(id uint16, g Group, value []byte) {
	if !(g == Group16 && len(value) == 16 || g == GroupX && len(value) <= 0xFFFF) {
		r.Elements = append(r.Elements, Element{ID: id, Group: misfit})
		return
	}
	// After a decode the data is the caller's packet, of which Raw is clipped: append copies it.
	offset := len(r.data)
	r.data = append(r.data, value...)
	r.Elements = append(r.Elements, Element{ID: id, Size: uint16(len(value)), Group: g, value: uint64(offset)})
}

// Decode reads a data field, codec id to number of data 2, of a codec for which [Codec.IsAVL] holds.
// Offsets in errors count from the codec id. After an error the Records are of no use, unless it matches ErrCount.
//
// A wrong total of elements is accepted: it says nothing that the groups do not. Codec 8 that does not fit is
// tried again with a 16-byte group, a variant of old devices that the vendor's page does not describe and that
// has no codec id of its own.
func (d *AVLData) Decode(body []byte) error {
	before := d.Records
	err := d.decode(body)
	clear(before[min(len(before), len(d.Records)):]) // they must not keep the packet before alive
	return err
}

func (d *AVLData) decode(body []byte) error {
	*d = AVLData{Records: d.Records[:0], elements: d.elements[:0]}
	if len(body) > 0 {
		d.Codec = Codec(body[0])
	}
	if len(body) > 1 {
		d.Count = int(body[1])
	}
	if len(body) < MinLength {
		return fail(ErrOverrun, "data field", 0, "%d bytes, expected %d or more", len(body), MinLength)
	}
	if !d.Codec.IsAVL() {
		return fail(ErrUnknownCodec, "codec id", 0, "%v", d.Codec)
	}
	ok := d.decodeRecords(body)
	if !ok && d.Codec == Codec8 {
		clear(d.Records)
		d.N16 = true
		ok = d.decodeRecords(body)
		d.N16 = ok
	}
	last := len(body) - 1
	if !ok {
		return d.misfit(body[:last])
	}
	if n2 := int(body[last]); n2 != d.Count {
		return fail(ErrCount, "number of data 2", last, "%d, number of data 1 is %d", n2, d.Count)
	}
	return nil
}

// decodeRecords reads the records, and reports whether they fill the data field.
func (d *AVLData) decodeRecords(body []byte) bool {
	d.Records, d.elements = d.Records[:0], d.elements[:0]
	data := body[:len(body)-1] // without number of data 2, which no record may touch
	layout := d.layout()
	p := 2
	for i := range d.Count {
		d.Records = append(d.Records, Record{})
		r := &d.Records[i]
		first := len(d.elements)
		var next int
		var elements []Element
		var ok bool
		if d.Codec == Codec7 {
			next, elements, ok = decode7(data, p, r, d.elements)
		} else {
			next, elements, ok = layout.decode(data, p, r, d.elements)
		}
		if !ok {
			return false
		}
		d.elements = elements
		r.Elements = elements[first:len(elements):len(elements)]
		r.Raw = body[p:next:next]
		r.data = r.Raw
		p = next
	}
	return p == len(data)
}

// misfit is the error of records that do not fill data, the data field without number of data 2.
func (d *AVLData) misfit(data []byte) *Error {
	w := walker{data: data, p: 2}
	if w.records(d); w.stopped {
		return w.overrun()
	}
	return fail(ErrTrailing, "number of data 2", w.p, "%d bytes before it are in no record", len(data)-w.p)
}
