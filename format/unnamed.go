package format

import (
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// unnamed are the elements that neither a signal nor a fault names, in the record's order, with plain values. The
// attributes do not say how wide an element was sent, so the names of all widths count: an id has no second element in
// a record. Where a user's own definition has named one it comes twice.
func (r *record) unnamed() members {
	var left members
	family, _ := meaning.ParseFamily(r.Device.Family)
	for _, a := range r.Attributes {
		id, err := strconv.ParseUint(a.key, 10, 16)
		if err == nil && !r.names(family, uint16(id)) {
			left = append(left, member{a.key, plain(a.value)})
		}
	}
	return left
}

// widths are those that the dictionary has something of.
var widths = [...]meaning.Width{meaning.Width1, meaning.Width2, meaning.Width4, meaning.Width8, meaning.WidthX}

// names reports whether a signal or a fault names the element.
func (r *record) names(family meaning.Family, id uint16) bool {
	if len(r.Signals) == 0 && len(r.Faults) == 0 {
		return false
	}
	for _, width := range widths {
		for _, d := range meaning.Embedded().Lookup(family, r.Device.Model, id, width) {
			if r.Signals.has(d.Name) || r.Faults.has(d.Name) {
				return true
			}
		}
	}
	return false
}

// addMeaning adds what the elements say: signals by their names, faults, and what has no name by its id behind prefix.
func (r *record) addMeaning(o *object, prefix string) {
	for _, s := range r.Signals {
		o.add(s.key, s.value)
	}
	r.addRest(o, prefix)
}

// addRest adds faults, and what has no name by its id behind prefix.
func (r *record) addRest(o *object, prefix string) {
	for _, f := range r.Faults {
		o.add("fault."+f.key, f.value)
	}
	for _, a := range r.unnamed() {
		o.add(prefix+a.key, a.value)
	}
}

// network are the members of attributes that are no elements, by the names of the signals that say the same elsewhere.
// The signal's strength in Codec 7 has another scale than the element gsm.signal.level, so it has a name of its own.
var network = map[string]string{
	"__lac": "gsm.lac", "__cid": "gsm.cellid", "__operator": "gsm.operator.code", "__signal": "gsm.signal.strength",
	"__generation_type": "generation.type",
}

// addNetwork adds what attributes say beside elements.
func (r *record) addNetwork(o *object, name func(signal string) string) {
	for _, a := range r.Attributes {
		if signal, ok := network[a.key]; ok {
			o.add(name(signal), a.value)
		}
	}
}
