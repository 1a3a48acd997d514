package redecode

import "git.dev.trmtracking.org/trm/tcp-ingestion/meaning"

// maxKnown bounds what is remembered of look-ups: devices choose the ids.
const maxKnown = 100_000

// knowing is a dictionary that remembers which families know which elements: it is asked for each element of each
// record, for each family.
type knowing struct {
	*meaning.Dictionary
	known map[element32]bool
}

// element32 is a family, an id and a width in one.
type element32 uint32

// knows reports whether a family's devices of a model, of any if that is empty, may send the element.
func (k *knowing) knows(f meaning.Family, model string, id uint16, w meaning.Width) bool {
	if model != "" {
		return len(k.Lookup(f, model, id, w)) > 0
	}
	key := element32(f)<<20 | element32(id)<<4 | element32(w)
	known, asked := k.known[key]
	if !asked {
		if len(k.known) >= maxKnown {
			clear(k.known)
		}
		known = len(k.Lookup(f, "", id, w)) > 0
		k.known[key] = known
	}
	return known
}
