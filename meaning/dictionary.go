package meaning

import (
	_ "embed"
	"fmt"
	"iter"
	"maps"
	"strings"
	"sync"
)

// release is the version of the embedded dictionary: year and month of its sources.
const release = "2026.11"

//go:embed dictionary.tsv
var embeddedTSV string

// Dictionary is what all elements mean. It is immutable, and safe for concurrent use.
type Dictionary struct {
	version     string
	definitions []Definition
	overrides   *overrides                     // nil without any
	testimonies []testimony                    // by place of the id and by width
	rules       [families + 1]map[pair][]*rule // several where models differ
	classes     map[string]int                 // models that rows are for: those of one class have the same rows
	examples    []string                       // a model of each class
	places      [1 << 16]uint16                // of an id in a table; 0 is none
	ids         int
	cache       cache
}

// Embedded is the dictionary of this version of the package.
func Embedded() *Dictionary { return embedded() }

var embedded = sync.OnceValue(func() *Dictionary {
	d, err := newDictionary(embeddedTSV)
	if err != nil {
		panic("the embedded dictionary: " + err.Error()) // a test reads it
	}
	return d
})

func newDictionary(tsv string) (*Dictionary, error) {
	definitions, err := parseDefinitions(tsv)
	if err != nil {
		return nil, err
	}
	return compileDictionary(release, definitions), nil
}

// parseDefinitions reads the dictionary's own file.
func parseDefinitions(tsv string) ([]Definition, error) {
	header, lines, _ := strings.Cut(tsv, "\n")
	if header != strings.Join(columns, "\t") {
		return nil, fmt.Errorf("the first line names other columns: %s", header)
	}
	var all []Definition
	line := 1
	for text := range strings.Lines(lines) {
		line++
		fields := strings.Split(strings.TrimSuffix(text, "\n"), "\t")
		if len(fields) != len(columns) {
			return nil, fmt.Errorf("line %d: %d columns, expected %d", line, len(fields), len(columns))
		}
		d, err := parseDefinition(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		all = append(all, d)
	}
	return all, nil
}

func parseDefinition(fields []string) (Definition, error) {
	r := row{field: func(column string) string {
		for i, name := range columns {
			if name == column {
				return fields[i]
			}
		}
		return ""
	}}
	d := r.definition()
	r.read("families", func(s string) error {
		for name := range strings.FieldsSeq(s) {
			f, err := ParseFamily(name)
			if err != nil {
				return err
			}
			d.Families = append(d.Families, f)
		}
		return nil
	})
	r.read("models", func(s string) error { d.Models = strings.Fields(s); return nil })
	r.read("confidence", func(s string) error { return parseNamed(s, confidenceNames[:], &d.Confidence) })
	if r.err != nil {
		return d, r.err
	}
	return d, nil
}

func compileDictionary(version string, definitions []Definition) *Dictionary {
	d := &Dictionary{version: version, definitions: definitions}
	knownOf := map[uint16]knownWidths{}
	for f := range d.rules {
		d.rules[f] = map[pair][]*rule{}
	}
	for i := range definitions {
		def := &definitions[i]
		r := newRule(def)
		known := knownOf[def.ID]
		for _, f := range def.Families {
			p := newPair(def.ID, def.Width)
			d.rules[f][p] = append(d.rules[f][p], r)
			known[f] |= 1 << def.Width
		}
		knownOf[def.ID] = known
		d.place(def.ID)
	}
	d.hearAll(knownOf)
	d.classify()
	d.cache.init()
	return d
}

// place gives an id its place in the tables.
func (d *Dictionary) place(id uint16) {
	if d.places[id] == 0 {
		d.ids++
		d.places[id] = uint16(d.ids)
	}
}

// The classes of a model that is not known, and of one that no row is for.
const (
	anyModel = iota
	otherModel
)

// class is the class of a model.
func (d *Dictionary) class(model string) int {
	if class, listed := d.classes[model]; listed {
		return class
	}
	if model == "" {
		return anyModel
	}
	return otherModel
}

// classify finds out which models have the same rows.
func (d *Dictionary) classify() {
	rows := map[string]string{} // of each model
	for i := range d.definitions {
		for _, model := range d.definitions[i].Models {
			rows[model] += fmt.Sprint(i, " ")
		}
	}
	d.classes, d.examples = map[string]int{}, []string{anyModel: "", otherModel: "-"}
	class := map[string]int{}
	for i := range d.definitions { // in the file's order, so that classes are the same in every process
		for _, model := range d.definitions[i].Models {
			text := rows[model]
			if class[text] == 0 {
				class[text] = len(d.examples)
				d.examples = append(d.examples, model)
			}
			d.classes[model] = class[text]
		}
	}
}

// Version is the dictionary's version, such as 2026.11, and with overrides a hash of them: 2026.11+3f2a.
func (d *Dictionary) Version() string { return d.version }

// Definitions are all definitions but for overrides, in the order of ids. They must not be changed.
func (d *Dictionary) Definitions() iter.Seq[*Definition] {
	return func(yield func(*Definition) bool) {
		for i := range d.definitions {
			if !yield(&d.definitions[i]) {
				return
			}
		}
	}
}

// Lookup are the definitions that a family's devices of a model may have for an element, with overrides for the family
// and for all devices; without a model those of all models. None: the family does not know the element.
func (d *Dictionary) Lookup(f Family, model string, id uint16, w Width) []*Definition {
	if int(f) > families {
		return nil
	}
	var all []*Definition
	for _, r := range d.choose(f, newPair(id, w), strings.ToUpper(model)) {
		if !r.silent {
			all = append(all, r.definition)
		}
	}
	return all
}

// choose are the rules that a family's devices of a model may have for a pair. A model that rows are for has only
// those; one that none is for has the family's general one. Without a model, and without a general one, it may be any.
func (d *Dictionary) choose(f Family, p pair, model string) []*rule {
	rules := d.rules[f][p]
	if model == "" {
		return rules
	}
	var general, own []*rule
	for _, r := range rules {
		switch {
		case len(r.definition.Models) == 0:
			general = append(general, r)
		case r.definition.For(model):
			own = append(own, r)
		}
	}
	if own != nil {
		return own
	}
	if general != nil {
		return general
	}
	return rules
}

// with is a copy with other rules, and without what was made from them.
func (d *Dictionary) with(version string, o *overrides) *Dictionary {
	c := &Dictionary{version: version, definitions: d.definitions, overrides: o, testimonies: d.testimonies,
		classes: d.classes, examples: d.examples, places: d.places, ids: d.ids}
	for f := range d.rules {
		c.rules[f] = maps.Clone(d.rules[f])
	}
	c.cache.init()
	return c
}
