package meaning

import (
	"bytes"
	"sync"
)

// Why says whether an element has a meaning for a device, and if not why.
type Why uint8

// The reasons.
const (
	Named     Why = iota // it has one
	Unknown              // the most likely family does not know it
	Ambiguous            // the families or models that the device may be of do not agree
	Unsure               // the dictionary's sources contradict themselves
	Silenced             // an override takes it away
)

var whyNames = [...]string{"named", "unknown", "ambiguous", "doubtful", "silenced"}

// String is one word.
func (w Why) String() string { return whyNames[min(int(w), len(whyNames)-1)] }

// cell is what a table has for a pair.
type cell struct {
	first  *rule   // the most likely family's
	why    Why     // Named if it may have a value
	quick  bool    // most of its values can be made in few steps
	others []*rule // of other candidates, which do not decode everything alike
}

// append appends a comma, the name and the value that all agree on, to dst, or the fault that all agree on to faults.
func (c *cell) append(dst []byte, faults *[]byte, v value) (_ []byte, named bool) {
	start := len(dst)
	dst = append(dst, c.first.key...)
	begin := len(dst)
	dst, fault := c.first.append(dst, v)
	for _, other := range c.others {
		end := len(dst)
		more, otherFault := other.append(dst, v)
		if !bytes.Equal(more[end:], more[begin:end]) || !bytes.Equal(otherFault, fault) {
			return more[:start], false
		}
		dst = more[:end]
	}
	if fault == nil {
		return dst, true
	}
	*faults = append(append(*faults, c.first.key...), fault...)
	return dst[:start], true
}

// tableKey is what a table is made for.
type tableKey struct {
	best       Family
	candidates familySet
	class      int // of the model
	legacy     bool
}

// table is the meaning of all elements for devices of the same candidates. It is immutable.
type table struct {
	near  [frequent << 3]uint16 // of the pairs of ids that most records are made of: a cell, or 0
	index []uint16              // of all others, by place of the id and by width
	cells []cell                // the first is what nobody knows
}

// frequent is the id from which on they are rare.
const frequent = 1024

// cell is what the table has for a pair.
func (t *table) cell(d *Dictionary, p pair) *cell {
	if p < pair(len(t.near)) {
		return &t.cells[t.near[p]]
	}
	return &t.cells[t.index[int(d.places[p.id()])*widths+int(p.width())]]
}

// at is where the table says which cell a pair has.
func (t *table) at(d *Dictionary, p pair) *uint16 {
	if p < pair(len(t.near)) {
		return &t.near[p]
	}
	return &t.index[int(d.places[p.id()])*widths+int(p.width())]
}

// cache holds what is made from a dictionary when somebody needs it.
type cache struct {
	units   sync.Once
	unit    map[string]string // of names
	mu      sync.Mutex
	tables  map[tableKey]*table
	readers map[readerKey]*Reader
}

func (c *cache) init() { c.tables, c.readers = map[tableKey]*table{}, map[readerKey]*Reader{} }

// maxTables bounds the tables that are kept, each of up to 200 KB. There are not so many: strangers can have at most
// 448 made, one for each set of candidates, and those who answer getver the same with the old scale and one for each
// class of models. If there were, devices would have tables of their own.
const maxTables = 1280

// table is called with the cache's lock held.
func (d *Dictionary) table(key tableKey) *table {
	t := d.cache.tables[key]
	if t == nil {
		t = d.newTable(key)
		if len(d.cache.tables) < maxTables {
			d.cache.tables[key] = t
		}
	}
	return t
}

func (d *Dictionary) newTable(key tableKey) *table {
	t := &table{index: make([]uint16, (d.ids+1)*widths), cells: make([]cell, 1, 1024)}
	t.cells[0].why = Unknown
	for f := FMB; f <= FM11; f++ {
		if !key.candidates.has(f) {
			continue
		}
		for p := range d.rules[f] {
			if i := t.at(d, p); *i == 0 {
				*i = uint16(len(t.cells))
				t.cells = append(t.cells, d.newCell(key, p))
			}
		}
	}
	if d.overrides != nil {
		t.giveNames()
	}
	return t
}

// giveNames leaves each name to one id: to an override's, the narrower one first. The dictionary alone has none twice.
func (t *table) giveNames() {
	owners := map[string]*rule{}
	for i := range t.cells {
		c := &t.cells[i]
		if c.why != Named {
			continue
		}
		owner := owners[c.first.definition.Name]
		if owner == nil || owner.rank < c.first.rank {
			owners[c.first.definition.Name] = c.first
		}
	}
	for i := range t.cells {
		c := &t.cells[i]
		if c.why == Named && owners[c.first.definition.Name].definition.ID != c.first.definition.ID {
			c.why, c.quick = Silenced, false
		}
	}
}

// newCell is what the candidates agree on for a pair.
func (d *Dictionary) newCell(key tableKey, p pair) cell {
	model := d.examples[key.class]
	best := d.choose(key.best, p, model)
	all := best
	for f := FMB; f <= FM11; f++ {
		if f != key.best && key.candidates.has(f) {
			all = append(all[:len(all):len(all)], d.choose(f, p, model)...)
		}
	}
	if len(best) == 0 {
		return cell{first: all[0], others: all[1:], why: Unknown}
	}
	return agree(all, key.legacy)
}

// agree is a cell of rules of which the first is the most likely.
func agree(rules []*rule, legacy bool) cell {
	c := cell{first: rules[0]}
	if legacy && !c.first.silent {
		c.first = c.first.legacy
	}
	for _, r := range rules[1:] {
		if legacy && !r.silent {
			r = r.legacy
		}
		if r.sameAs == c.first.sameAs && r.silent == c.first.silent {
			continue
		}
		c.others = append(c.others, r)
		if r.silent || r.definition.Name != c.first.definition.Name || r.definition.Unit != c.first.definition.Unit {
			c.why = Ambiguous
		}
	}
	switch {
	case c.first.silent:
		c.why = Silenced
	case c.first.definition.Confidence == Doubtful:
		c.why = Unsure
	}
	c.quick = c.why == Named && c.others == nil && c.first.quick != slow
	return c
}
