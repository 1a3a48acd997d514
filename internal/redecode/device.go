package redecode

import (
	"bytes"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// device is what is known of a device from its records so far.
type device struct {
	dictionary *knowing
	imei       string
	mapped     meaning.Identity // by the user's map of today
	said       meaning.Identity // by the device's own word, or by the documents
	exact      meaning.Evidence // of elements whose width is known
	perFamily  map[meaning.Family]*meaning.Evidence

	// The readers that follow from it, nil until they are asked for: of elements whose width is known, and of others.
	certain, likely []*meaning.Reader
}

func newDevice(d *knowing, imei string, known Known) *device {
	v := &device{
		dictionary: d, imei: imei, mapped: known.Mapped, said: known.Said,
		perFamily: map[meaning.Family]*meaning.Evidence{},
	}
	v.exact.Merge(d.Dictionary, known.Evidence)
	for _, f := range meaning.Families() {
		v.perFamily[f] = &meaning.Evidence{}
		v.perFamily[f].Merge(d.Dictionary, known.Evidence)
	}
	return v
}

// identify takes in what a document says of its device, unless the device's own word is known with its firmware. A
// later document counts more.
func (v *device) identify(i meaning.Identity) {
	if i.Family != 0 && i != v.said && v.said.Firmware == "" {
		v.said = i
		v.certain, v.likely = nil, nil
	}
}

func (v *device) identity() meaning.Identity { return meaning.Identify(v.mapped, v.said) }

// narrow leaves the one width of an element in which it has a name that the document gives: whoever named it knew.
func (v *device) narrow(r *stored.Record) {
	if len(r.Signals)+len(r.Faults) == 0 {
		return
	}
	for i := range r.Elements {
		e := &r.Elements[i]
		var named []meaning.Width
		for _, w := range e.Widths {
			if slices.ContainsFunc(v.dictionary.names(e.ID, w), r.Says) {
				named = append(named, w)
			}
		}
		if len(named) == 1 {
			e.Widths = named
		}
	}
}

// say is the members that say what the record's elements mean, each with a comma before it; nothing if none of them
// means anything.
func (v *device) say(r *stored.Record) []byte {
	elements := r.Elements
	if v.learn(elements) {
		v.certain, v.likely = nil, nil
	}
	readers, guessed := v.readers(elements)
	var signals, faults []byte
	for i := range elements {
		signal, fault := v.agreed(readers, guessed, &elements[i], r)
		signals, faults = append(signals, signal...), append(faults, fault...)
	}
	var out []byte
	if len(signals) > 0 {
		signals[0] = '{' // over the first member's comma
		out = append(append(append(out, `,"signals":`...), signals...), '}')
	}
	if len(faults) > 0 {
		faults[0] = '{'
		out = append(append(append(out, `,"faults":`...), faults...), '}')
	}
	if out == nil {
		return nil
	}
	return readers[0].AppendDevice(out)
}

// learn takes in elements as evidence: each in the width that it was sent in, and where that is not known, for each
// family in the width that speaks for it. It reports whether that says something new.
func (v *device) learn(elements []stored.Element) (news bool) {
	for i := range elements {
		e := &elements[i]
		if e.Exact() {
			news = v.exact.Add(v.dictionary.Dictionary, meaning.Element{ID: e.ID, Width: e.Widths[0], Number: e.Number}) || news
		}
		for family, evidence := range v.perFamily {
			el := meaning.Element{ID: e.ID, Width: v.kindest(family, e), Number: e.Number}
			news = evidence.Add(v.dictionary.Dictionary, el) || news
		}
	}
	return news
}

// kindest is the width that speaks for the family; if none does it is the widest, so that an id counts once, whatever
// its numbers are.
func (v *device) kindest(f meaning.Family, e *stored.Element) meaning.Width {
	for _, w := range e.Widths {
		if v.dictionary.knows(f, "", e.ID, w) {
			return w
		}
	}
	return e.Widths[len(e.Widths)-1]
}

// readers are those that have to agree, the most likely first. guessed says that they are of several families.
func (v *device) readers(elements []stored.Element) (readers []*meaning.Reader, guessed bool) {
	if identity := v.identity(); identity.Family == 0 && ambiguous(elements) {
		if v.likely == nil {
			v.likely = v.candidates()
		}
		return v.likely, true
	}
	if v.certain == nil {
		v.certain = v.resolve()
	}
	return v.certain, false
}

func (v *device) resolve() []*meaning.Reader {
	identity := v.identity()
	readers := []*meaning.Reader{meaning.Resolve(v.dictionary.Dictionary, v.imei, identity, &v.exact)}
	if identity.By == meaning.ByGetver && identity.Firmware == "" && !v.exact.NewScale() {
		identity.Firmware = oldFirmware
		readers = append(readers, meaning.Resolve(v.dictionary.Dictionary, v.imei, identity, &v.exact))
	}
	return readers
}

// oldFirmware is one with the old scale of Bluetooth temperatures. A document does not say which firmware the device
// had that told its model, so both scales have to agree, or one of them with what the document says.
const oldFirmware = "03.27.00"

func ambiguous(elements []stored.Element) bool {
	return slices.ContainsFunc(elements, func(e stored.Element) bool { return !e.Exact() })
}

// margin is by how many points a family may be behind the best one, as in package meaning.
const margin = 6

// candidates have a reader for each family that the device may be of. Each is judged by the evidence that speaks for
// it, so none is left out that is not left out by the widths that were really sent.
func (v *device) candidates() []*meaning.Reader {
	points := map[meaning.Family]float64{}
	best := 0.0
	for i, f := range meaning.Families() {
		for _, s := range v.perFamily[f].Scores(v.dictionary.Dictionary) {
			if s.Family == f {
				points[f] = s.Points
			}
		}
		if i == 0 || points[f] > best {
			best = points[f]
		}
	}
	families := meaning.Families()
	slices.SortStableFunc(families, func(a, b meaning.Family) int {
		switch {
		case points[a] > points[b]:
			return -1
		case points[a] < points[b]:
			return 1
		}
		return 0
	})
	var readers []*meaning.Reader
	for _, f := range families {
		if points[f] >= best-margin {
			identity := meaning.Identity{Family: f}
			readers = append(readers, meaning.Resolve(v.dictionary.Dictionary, v.imei, identity, v.perFamily[f]))
		}
	}
	return readers
}

// reading is what one reader says of an element: members with a comma before them, one of the two or none.
type reading struct{ signal, fault []byte }

// agreed is what an element means, or nothing. All readers that know the element, in whatever width it may have been
// sent in, have to say the same, and the first one has to know it. Where they do not, what the document says decides,
// if one of them says that too: if only the scale is in doubt, or if today's dictionary has said it.
func (v *device) agreed(
	readers []*meaning.Reader, guessed bool, e *stored.Element, r *stored.Record,
) (signal, fault []byte) {
	var all []reading
	same, scale := true, false
	guessed = guessed || !e.Exact()
	for i, reader := range readers {
		scale = scale || reader.Legacy()
		for _, w := range e.Widths {
			if guessed && !v.dictionary.knows(reader.Family(), reader.Model(), e.ID, w) {
				continue
			}
			said := read(reader, e, w)
			same = same && (i == 0 || len(all) > 0) && (len(all) == 0 || all[0].equals(said))
			all = append(all, said)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	if same {
		return all[0].signal, all[0].fault
	}
	for _, said := range all {
		if (scale || r.Dict == v.dictionary.Version()) && said.isIn(r.Document) {
			return said.signal, said.fault
		}
	}
	return nil, nil
}

func (a reading) equals(b reading) bool {
	return bytes.Equal(a.signal, b.signal) && bytes.Equal(a.fault, b.fault)
}

// isIn reports whether the document says so.
func (a reading) isIn(document []byte) bool {
	member := append(bytes.Clone(a.signal), a.fault...)
	return len(member) > 0 && has(document, member)
}

// has reports whether the text has the member.
func has(text, member []byte) bool {
	i := bytes.Index(text, member[1:]) // without its comma
	return i >= 0 && bytes.ContainsAny(text[i+len(member)-1:][:1], ",}")
}

func read(r *meaning.Reader, e *stored.Element, w meaning.Width) (said reading) {
	if w == meaning.WidthX {
		said.signal = r.AppendBytes(nil, &said.fault, e.ID, e.Bytes)
	} else if w != meaning.Width16 {
		said.signal = r.AppendNumber(nil, &said.fault, e.ID, w, e.Number)
	}
	return said
}
