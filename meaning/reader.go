package meaning

import (
	"slices"
	"strconv"
)

// Reader says what one device's elements mean. It is immutable, safe for concurrent use, and shared between devices of
// which the same is known.
type Reader struct {
	dictionary *Dictionary
	table      *table
	own        map[pair]*cell // overrides of the device or its model, laid over the table; nil without any
	candidates []Family
	identity   Identity
	legacy     bool
	tail       []byte
}

// readerKey is what readers are shared by.
type readerKey struct {
	table tableKey
	model string
	by    By
	own   match // the narrowest of the overrides for the device's IMEI, from which the wider ones follow
}

// maxReaders bounds the readers that are shared: a device may say that it is of any model.
const maxReaders = 4096

// Resolve finds out what a device's elements mean. Its family is pinned by the identity, else told from the evidence.
func Resolve(d *Dictionary, imei string, identity Identity, evidence *Evidence) *Reader {
	identity = identity.normal()
	key := tableKey{legacy: identity.legacy() && !evidence.newScale}
	key.best, key.candidates = d.candidates(identity, evidence)
	if identity.Family != 0 {
		key.class = d.class(identity.Model)
	}
	return d.reader(readerKey{key, identity.Model, identity.By, d.overrides.narrowest(imei)}, identity)
}

// candidates are the families that a device may be of, and the most likely of them.
func (d *Dictionary) candidates(identity Identity, evidence *Evidence) (best Family, all familySet) {
	if identity.Family != 0 {
		return identity.Family, all.with(identity.Family)
	}
	scores := evidence.Scores(d)
	for _, s := range scores {
		if s.Candidate {
			all = all.with(s.Family)
		}
	}
	return scores[0].Family, all
}

// reader makes a reader once, with the overrides of the device's own: thousands of devices of one model may have many.
func (d *Dictionary) reader(key readerKey, identity Identity) *Reader {
	d.cache.mu.Lock()
	defer d.cache.mu.Unlock()
	r := d.cache.readers[key]
	if r != nil {
		return r
	}
	r = d.newReader(d.table(key.table), key.table, identity)
	if rows := d.overrides.of(key.model, key.own); len(rows) > 0 {
		r.lay(rows)
	}
	if len(d.cache.readers) < maxReaders && key.own.kind != matchIMEI { // which only one device has
		d.cache.readers[key] = r
	}
	return r
}

func (d *Dictionary) newReader(t *table, key tableKey, identity Identity) *Reader {
	identity.Family = key.best
	identity.Firmware = "" // devices of different ones share the reader
	r := &Reader{dictionary: d, table: t, candidates: []Family{key.best}, identity: identity, legacy: key.legacy}
	for _, f := range Families() {
		if f != key.best && key.candidates.has(f) {
			r.candidates = append(r.candidates, f)
		}
	}
	r.tail = append(r.tail, `,"device":{"family":"`...)
	r.tail = append(r.tail, key.best.String()...)
	if identity.Model != "" {
		r.tail = append(append(r.tail, `","model":"`...), identity.Model...)
	}
	r.tail = append(append(r.tail, `","by":"`...), identity.By.String()...)
	r.tail = append(append(r.tail, `"},"dict":"`...), d.version...)
	r.tail = append(r.tail, '"')
	return r
}

// lay lays overrides over the table. What the table calls by a name of theirs is taken out: a name is there once.
func (r *Reader) lay(rows []*override) {
	r.own = map[pair]*cell{}
	taken := map[string]uint16{}
	for _, row := range rows { // the winner of a pair, and of a name, last
		own := agree([]*rule{row.rule}, r.legacy)
		def := row.rule.definition
		r.own[newPair(def.ID, def.Width)] = &own
		if !row.rule.silent {
			taken[def.Name] = def.ID
		}
	}
	for p, c := range r.own {
		if id, isTaken := taken[c.first.name()]; isTaken && id != p.id() {
			r.own[p] = &cell{first: c.first, why: Silenced}
		}
	}
	for i := range r.table.cells[1:] {
		c := &r.table.cells[1+i]
		def := c.first.definition
		if id, isTaken := taken[c.first.name()]; isTaken && id != def.ID {
			if p := newPair(def.ID, def.Width); r.own[p] == nil {
				r.own[p] = &cell{first: c.first, why: Silenced}
			}
		}
	}
}

// name is the definition's, empty if it takes an element away.
func (r *rule) name() string {
	if r.silent {
		return ""
	}
	return r.definition.Name
}

// cell is what there is for an element. Of one that nobody knows it has no rule.
func (r *Reader) cell(id uint16, w Width) *cell {
	if w >= widths {
		return &r.table.cells[0]
	}
	p := newPair(id, w)
	if r.own != nil {
		if c := r.own[p]; c != nil {
			return c
		}
	}
	return r.table.cell(r.dictionary, p)
}

// AppendNumber appends what an element of Width1 to Width8 means as a JSON member with a comma before it: its value to
// dst, or its fault to faults, or nothing. number is the value as sent, unsigned. Nothing is allocated but to let the
// buffers grow, and a few bytes of dst's free capacity behind the member may be overwritten. A name comes once if every
// id does.
func (r *Reader) AppendNumber(dst []byte, faults *[]byte, id uint16, w Width, number uint64) []byte {
	var c *cell
	if p := newPair(id, w); r.own == nil && int(p) < len(r.table.near) {
		c = &r.table.cells[r.table.near[p]]
	} else {
		c = r.cell(id, w)
	}
	if c.quick {
		if out, done := c.first.appendQuick(dst, faults, number, w); done {
			return out
		}
	}
	if c.why != Named {
		return dst
	}
	dst, _ = c.append(dst, faults, value{number: number, size: w.Size()})
	return dst
}

// AppendBytes is AppendNumber for an element of WidthX.
func (r *Reader) AppendBytes(dst []byte, faults *[]byte, id uint16, bytes []byte) []byte {
	c := r.cell(id, WidthX)
	if c.why != Named || len(bytes) > MaxBytes {
		return dst
	}
	dst, _ = c.append(dst, faults, variable(bytes))
	return dst
}

// MaxBytes is the longest value of WidthX that has a meaning. Longer ones would only make records large: as text of
// control characters a byte takes six.
const MaxBytes = 1024

// AppendDevice appends the members device and dict, with a comma before each.
func (r *Reader) AppendDevice(dst []byte) []byte { return append(dst, r.tail...) }

// Decode is what an element means, or why nothing: raw are its bytes as sent. It is for people.
func (r *Reader) Decode(id uint16, w Width, raw []byte) (Value, Why) {
	c := r.cell(id, w)
	switch {
	case c.first == nil || w == WidthX && len(raw) > MaxBytes:
		return Value{}, Unknown
	case c.why != Named:
		return Value{}, c.why
	}
	v := variable(raw)
	if w != WidthX {
		v = fixed(w, bigEndian(raw))
	}
	if _, named := c.append(nil, new([]byte), v); !named {
		return Value{}, Ambiguous
	}
	return c.first.value(v), Named
}

// Definitions are what the element may mean for the device: the most likely family's first, then those that differ.
func (r *Reader) Definitions(id uint16, w Width) []*Definition {
	c := r.cell(id, w)
	if c.first == nil || c.first.silent {
		return nil
	}
	all := []*Definition{c.first.definition}
	for _, other := range c.others {
		if !other.silent {
			all = append(all, other.definition)
		}
	}
	return all
}

// Family is the most likely family.
func (r *Reader) Family() Family { return r.candidates[0] }

// Candidates are the families that the device may be of, the most likely first, the others in the order of Families.
func (r *Reader) Candidates() []Family { return slices.Clone(r.candidates) }

// Model is the device's model, empty if it is not known.
func (r *Reader) Model() string { return r.identity.Model }

// By is how the family is known.
func (r *Reader) By() By { return r.identity.By }

// Dictionary is the one that the reader is made from.
func (r *Reader) Dictionary() *Dictionary { return r.dictionary }

// Legacy reports whether temperatures of Bluetooth sensors have their old scale.
func (r *Reader) Legacy() bool { return r.legacy }

// String is for logs and tests: "fmx6 FMB640 by getver, 2026.11".
func (r *Reader) String() string {
	s := r.Family().String()
	if r.Model() != "" {
		s += " " + r.Model()
	}
	return s + " by " + r.By().String() + ", " + r.dictionary.version + ", of " + strconv.Itoa(len(r.candidates))
}
