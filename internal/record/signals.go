package record

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// appendMeaning appends what the elements mean for the device: signals and faults, each if there is one, and then
// device and dict, which say whose meaning it is. elements are those of the attributes: every id once. Those of Codec 7
// have no meaning: its ids are not those of the dictionary.
func (e *Encoder) appendMeaning(dst []byte, r *teltonika.Record, elements []teltonika.Element) []byte {
	device := e.origin.Meaning
	if device == nil || e.origin.Codec == teltonika.Codec7 {
		return dst
	}
	reader := device.Current()
	out, layout := e.appendSignals(dst, r, elements, reader)
	if device.Knows(layout) {
		return out
	}
	// What an element means must not depend on where in the record it stands, so all are learnt from first.
	if learnt := device.Learn(layout, e.evidence(elements)); learnt != reader {
		out, _ = e.appendSignals(dst, r, elements, learnt)
	}
	return out
}

// appendSignals appends what the elements mean to a reader, and finds out the record's layout on the way.
func (e *Encoder) appendSignals(dst []byte, r *teltonika.Record, elements []teltonika.Element,
	reader *meaning.Reader) ([]byte, meaning.Layout) {
	start := len(dst)
	dst = append(dst, `,"signals":`...)
	open := len(dst)
	e.faults = e.faults[:0]
	layout := meaning.NewLayout
	for i := range elements {
		el := &elements[i]
		width := meaning.Width(el.Group)
		layout = layout.Add(el.ID, width, el.Uint())
		if width == meaning.WidthX {
			dst = reader.AppendBytes(dst, &e.faults, el.ID, r.Bytes(*el))
		} else {
			dst = reader.AppendNumber(dst, &e.faults, el.ID, width, el.Uint())
		}
	}
	if len(dst) == open {
		dst = dst[:start]
	} else {
		dst[open] = '{' // over the first member's comma
		dst = append(dst, '}')
	}
	if len(e.faults) > 0 {
		e.faults[0] = '{'
		dst = append(append(append(dst, `,"faults":`...), e.faults...), '}')
	}
	if len(dst) == start {
		return dst, layout
	}
	return reader.AppendDevice(dst), layout
}

// evidence is what a device's family is told from.
func (e *Encoder) evidence(elements []teltonika.Element) []meaning.Element {
	e.learnt = e.learnt[:0]
	for _, el := range elements {
		e.learnt = append(e.learnt, meaning.Element{ID: el.ID, Width: meaning.Width(el.Group), Number: el.Uint()})
	}
	return e.learnt
}
