package simulate

import (
	"math/rand/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// catalogue holds the templates of a codec: those that a device can have as its own, and those that every
// device of the codec sends now and then.
type catalogue struct {
	own, aside choice
}

// newCatalogues encodes the table of profiles.
func newCatalogues() (map[teltonika.Codec]*catalogue, error) {
	catalogues := make(map[teltonika.Codec]*catalogue)
	for i := range profiles {
		t, err := newTemplate(&profiles[i])
		if err != nil {
			return nil, err
		}
		c := catalogues[profiles[i].codec]
		if c == nil {
			c = new(catalogue)
			catalogues[profiles[i].codec] = c
		}
		if t.aside {
			c.aside.add(t)
		} else {
			c.own.add(t)
		}
	}
	return catalogues, nil
}

// choice is a set of templates to draw from by weight.
type choice struct {
	templates []*template
	total     int
}

func (c *choice) add(t *template) {
	c.templates = append(c.templates, t)
	c.total += t.weight
}

func (c *choice) pick(random uint64) *template {
	n := int(below(random, uint64(c.total)))
	for _, t := range c.templates {
		if n < t.weight {
			return t
		}
		n -= t.weight
	}
	return nil
}

// model is what a device reports: the codec and its own template, and the others of its codec.
type model struct {
	codec teltonika.Codec
	own   *template
	aside *choice
}

func newModel(mix Mix, catalogues map[teltonika.Codec]*catalogue, rng *rand.PCG) model {
	codec := mix.pick(int(below(rng.Uint64(), uint64(mix.total()))))
	c := catalogues[codec]
	return model{codec: codec, own: c.own.pick(rng.Uint64()), aside: &c.aside}
}

// appendRecord appends the record of a position: one in 16 is not the device's own kind, where its codec has others.
func (m *model) appendRecord(dst []byte, p *position, device identity) []byte {
	t := m.own
	if m.aside.total > 0 && p.noise>>24&15 == 0 {
		t = m.aside.pick(p.noise << 16)
	}
	return t.appendRecord(dst, m.codec, p, device)
}
