package teltonika

import "fmt"

// Field is one field of a data field.
type Field struct {
	Name    string // in the words of the protocol, as "longitude"
	Record  int    // the number of the record or message that it belongs to, from 1; 0 if to none
	Group   Group  // of the element, or of the elements that are counted
	Element int    // the number of the element that it belongs to within its group, from 1; 0 if to none
	Offset  int    // in bytes from the codec id
	Size    int    // in bytes
	Bytes   []byte // fewer than Size where the data ends before the field does
}

// Trace calls visit for each field of a data field of any codec, in the order of the bytes. It finds the fields where
// [AVLData.Decode] and [Messages.Decode] do. The first one that does not fit is the last of its records or messages.
// Number of data 2 follows all the same, because it is the last byte whatever stands before it.
//
// The data field should have length bytes. It may be cut off, and have fewer.
func Trace(body []byte, length int, visit func(Field)) {
	end := max(length, MinLength) - 1
	w := walker{data: body[:min(end, len(body))], visit: visit}
	codec := Codec(uintOf(w.take("codec id", 1)))
	count := int(uintOf(w.take("number of data 1", 1)))
	switch {
	case w.stopped:
	case codec.IsAVL():
		d := AVLData{Codec: codec, Count: count}
		if len(body) > end {
			d.Decode(body) // finds out whether it is N16; its error says nothing that the fields do not
		}
		w.records(&d)
	case codec.IsMessage():
		w.messages(&Messages{Codec: codec, Quantity: count})
	}
	if w.stopped && len(body) <= end {
		return
	}
	w = walker{data: body, p: min(end, len(body)), visit: visit}
	w.take("number of data 2", 1)
}

// walker goes through a data field, field by field.
type walker struct {
	data    []byte // without number of data 2
	p       int    // offset of the next field
	visit   func(Field)
	record  int // what Field says of the next field
	group   Group
	element int
	stopped bool // because the next field does not fit
	misfit  Field
}

// take visits the next size bytes as one field and returns them, or nil if they do not fit.
func (w *walker) take(name string, size int) []byte {
	if w.stopped {
		return nil
	}
	b := w.data[w.p:]
	if len(b) < size {
		w.stop(name, size, b)
		return nil
	}
	b = b[:size:size]
	if w.visit != nil {
		w.visit(w.field(name, size, b))
	}
	w.p += size
	return b
}

// stop ends the walk at a field that does not fit. left is what there is of it.
func (w *walker) stop(name string, size int, left []byte) {
	w.stopped, w.misfit = true, w.field(name, size, left)
	if w.visit != nil {
		w.visit(w.misfit)
	}
}

func (w *walker) field(name string, size int, b []byte) Field {
	return Field{Name: name, Record: w.record, Group: w.group, Element: w.element, Offset: w.p, Size: size, Bytes: b}
}

// records visits the records of d, of which only the codec, its variant and the count are known.
func (w *walker) records(d *AVLData) {
	layout := d.layout()
	for w.record = 1; w.record <= d.Count && !w.stopped; w.record++ {
		if d.Codec == Codec7 {
			w.record7()
		} else {
			w.recordOf(layout)
		}
	}
	w.record = 0
}

func (w *walker) recordOf(l *layout) {
	for _, f := range fixedFields {
		w.take(f.name, f.size)
	}
	w.take("event id", l.idSize)
	if l.generation {
		w.take("generation type", 1)
	}
	w.take("total elements", l.countSize)
	for _, g := range l.groups {
		w.groupOf(l, g)
	}
}

func (w *walker) groupOf(l *layout, g Group) {
	w.group = g
	n := int(uintOf(w.take(elementCount, l.countSize)))
	for w.element = 1; w.element <= n && !w.stopped; w.element++ {
		if g == GroupX {
			if b := w.take("id and length", 4); b != nil {
				w.take("value", int(uintOf(b[2:])))
			}
		} else {
			w.take("id", l.idSize)
			w.take("value", groupSize[g])
		}
	}
	w.group, w.element = 0, 0
}

const elementCount = "element count"

// overrun is the error of the field that does not fit.
func (w *walker) overrun() *Error {
	f := &w.misfit
	name := f.Name
	switch {
	case f.Element > 0:
		name = fmt.Sprintf("%s element %d %s", groupName(f.Group), f.Element, name)
	case name == elementCount:
		name = groupName(f.Group) + " " + name
	}
	return fail(ErrOverrun, recordField(f.Record-1, name), f.Offset, "%d bytes long, %d are left", f.Size, len(f.Bytes))
}

// uintOf is the big-endian number of up to 8 bytes.
func uintOf(b []byte) uint64 {
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func recordField(i int, field string) string { return fmt.Sprintf("record %d %s", i+1, field) }
