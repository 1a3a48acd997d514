package teltonika

// MaxRecords is the most records that one frame can hold: the number is one byte.
const MaxRecords = 255

// AppendFrame appends the whole TCP frame of the records. What the codec cannot express is an error
// that matches ErrEncode, and dst is returned as it was. The numbers of records and elements are written as
// counted, whatever Count and Record.Total say, and the elements of a group in their order. Codec 7 keeps 24 bits of a
// coordinate.
func (d *AVLData) AppendFrame(dst []byte) ([]byte, error) {
	framed := appendHeader(dst)
	start := len(framed)
	framed, err := d.AppendBody(framed)
	if err != nil {
		return dst, err
	}
	return closeFrame(framed, start), nil
}

// AppendBody appends the data field, codec id to number of data 2. Errors are those of AppendFrame.
func (d *AVLData) AppendBody(dst []byte) ([]byte, error) {
	if err := d.encodable(); err != nil {
		return dst, err
	}
	layout, n := d.layout(), byte(len(d.Records))
	dst = append(dst, byte(d.Codec), n)
	for i := range d.Records {
		if d.Codec == Codec7 {
			dst = appendRecord7(dst, &d.Records[i])
		} else {
			dst = layout.append(dst, &d.Records[i])
		}
	}
	return append(dst, n), nil
}

func (d *AVLData) encodable() error {
	if !d.Codec.IsAVL() {
		return unencodable("codec id", "%v is not an AVL codec", d.Codec)
	}
	if len(d.Records) > MaxRecords {
		return unencodable("number of data 1", "%d records, at most %d fit", len(d.Records), MaxRecords)
	}
	for i := range d.Records {
		if err := d.recordEncodable(&d.Records[i]); err != nil {
			err.Field = recordField(i, err.Field)
			return err
		}
	}
	return nil
}

func (d *AVLData) recordEncodable(r *Record) *Error {
	layout := d.layout()
	maxID, maxCount := maxOf(layout.idSize), maxOf(layout.countSize)
	if d.Codec == Codec7 { // which has no total
		if err := r.encodable7(); err != nil {
			return err
		}
		maxCount *= len(layout.groups)
	}
	if int(r.EventID) > maxID {
		return unencodable("event id", "%d, at most %d in codec %v", r.EventID, maxID, d.Codec)
	}
	if len(r.Elements) > maxCount {
		return unencodable("total elements", "%d, at most %d in codec %v", len(r.Elements), maxCount, d.Codec)
	}
	for _, e := range r.Elements {
		if int(e.ID) > maxID {
			return unencodable("element id", "%d, at most %d in codec %v", e.ID, maxID, d.Codec)
		}
		if e.Group > GroupX {
			return unencodable("element", "id %d: the value is not one of the group it was added to", e.ID)
		}
		if !layout.has(e.Group) {
			return unencodable("element", "id %d: codec %v has no %s group", e.ID, d.Codec, groupName(e.Group))
		}
		if e.Group != GroupX && int(e.Size) != groupSize[e.Group] {
			return unencodable("element", "id %d: %d bytes in the %s group", e.ID, e.Size, groupName(e.Group))
		}
		if !e.Numeric() && !r.holds(e) {
			return unencodable("element", "id %d: its bytes are not in this record", e.ID)
		}
	}
	return nil
}
