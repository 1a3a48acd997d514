package redecode

import "git.dev.trmtracking.org/trm/tcp-ingestion/meaning"

// maxKnown bounds what is remembered of look-ups: devices choose the ids.
const maxKnown = 100_000

// knowing is a dictionary that remembers which families know which elements: it is asked for each element of each
// record, for each family.
type knowing struct {
	*meaning.Dictionary
	known map[element32]bool
	named map[element32][]string
}

func newKnowing(d *meaning.Dictionary) *knowing {
	return &knowing{d, map[element32]bool{}, map[element32][]string{}}
}

// names are those that any family has for the element.
func (k *knowing) names(id uint16, w meaning.Width) (names []string) {
	key := element32(id)<<4 | element32(w)
	names, asked := k.named[key]
	if asked {
		return names
	}
	for _, f := range meaning.Families() {
		for _, d := range k.Lookup(f, "", id, w) {
			names = append(names, d.Name)
		}
	}
	if len(k.named) >= maxKnown {
		clear(k.named)
	}
	k.named[key] = names
	return names
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
