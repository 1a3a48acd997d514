package meaning

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
)

// What a file of overrides may have at most.
const (
	MaxOverrideBytes = 4 << 20
	MaxOverrides     = 20_000
)

// overrideColumns are the columns of a file of overrides that does not name its own.
var overrideColumns = []string{
	"match", "id", "width", "name", "type", "signed", "multiplier", "offset", "unit", "enum", "flags", "invalid", "title",
}

// OverrideError says what is wrong in a file of overrides, and where. Its text is bounded, whatever stands in the file.
type OverrideError struct {
	Line   int    // from 1
	Column string // its name; empty if the whole line is meant
	Err    error
}

func (e *OverrideError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %.1000v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d, column %s: %.1000v", e.Line, e.Column, e.Err)
}

// Unwrap is the cause.
func (e *OverrideError) Unwrap() error { return e.Err }

// byteOrderMark is what some editors begin a file with.
const byteOrderMark = "\ufeff"

// override is one row of the user's.
type override struct {
	match match
	line  int
	text  string // as in the file
	rule  *rule
}

// overrides are all rows of the user's, by what they match.
type overrides struct {
	rows     []override
	byMatch  map[match][]*override
	elements map[matchedPair]int // lines
	names    map[matchedName]*override
	units    map[string]*override // by name: the first row that has it
}

type matchedPair struct {
	match
	pair
}

type matchedName struct {
	match
	name string
}

// Override is the dictionary with a user's definitions over it: tab-separated lines, in which # begins a comment.
//
//	match                 id  width  name        type    signed  multiplier  offset  unit  enum  flags  invalid  title
//	imei:356307042441013  9   2      tank.level  number  0       0.05        0       %
//	model:FMB640          11  2      -
//
// A first line that begins with match may name the columns in another order, or leave some out. match is imei:IMEI,
// imei:PREFIX*, model:MODEL, family:FAMILY or *, for all devices; the narrower one wins. A row takes the place of what
// the dictionary has for that id and width; - as name takes it away. Columns at the end may be missing, and - is empty.
// Runs of two or more spaces stand for tabs in a line that has none.
//
// The error is an *OverrideError, and the dictionary is as it was.
func (d *Dictionary) Override(tsv string) (*Dictionary, error) {
	if d.overrides != nil {
		return nil, &OverrideError{Line: 1, Err: fmt.Errorf("the dictionary has overrides already")}
	}
	if len(tsv) > MaxOverrideBytes {
		return nil, &OverrideError{Line: 1, Err: fmt.Errorf("the file has more than %d bytes", MaxOverrideBytes)}
	}
	o := &overrides{byMatch: map[match][]*override{}, elements: map[matchedPair]int{},
		names: map[matchedName]*override{}, units: map[string]*override{}}
	names := columnNames{names: overrideColumns}
	line := 0
	for text := range strings.Lines(strings.TrimPrefix(tsv, byteOrderMark)) {
		line++
		fields := splitFields(text)
		if fields == nil {
			continue
		}
		if fields[0] == "match" && len(o.rows) == 0 {
			if err := names.set(fields); err != nil {
				return nil, &OverrideError{Line: line, Err: err}
			}
			continue
		}
		if err := o.add(d, line, strings.TrimRight(text, "\r\n"), names, fields); err != nil {
			return nil, err
		}
	}
	if len(o.rows) == 0 {
		return d, nil
	}
	return d.overridden(o), nil
}

// splitFields are the fields of a line, none of an empty one or a comment.
func splitFields(text string) []string {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	if text == "" || text[0] == '#' {
		return nil
	}
	var fields []string
	if strings.Contains(text, "\t") {
		fields = strings.Split(text, "\t")
	} else {
		fields = slices.DeleteFunc(strings.Split(text, "  "), func(s string) bool { return strings.TrimSpace(s) == "" })
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields
}

// columnNames are the columns of a file.
type columnNames struct{ names []string }

func (c *columnNames) set(fields []string) error {
	for i, name := range fields {
		if name != "match" && !slices.Contains(columns, name) || slices.Index(fields, name) < i {
			return fmt.Errorf("%.100q is no column, or there twice: they are match, %s", name, strings.Join(columns, ", "))
		}
	}
	for _, needed := range []string{"match", "id", "width", "name", "type"} {
		if !slices.Contains(fields, needed) {
			return fmt.Errorf("the column %s is missing", needed)
		}
	}
	c.names = slices.Clone(fields)
	return nil
}

// field is the field of a column, empty if it is not there or -.
func (c *columnNames) field(fields []string, column string) string {
	i := slices.Index(c.names, column)
	if i < 0 || i >= len(fields) || fields[i] == "-" && column != "name" {
		return ""
	}
	return fields[i]
}

func (o *overrides) add(d *Dictionary, line int, text string, names columnNames, fields []string) error {
	failed := func(column string, err error) error { return &OverrideError{line, column, err} }
	if len(fields) > len(names.names) {
		return failed("", fmt.Errorf("%d columns, at most %d", len(fields), len(names.names)))
	}
	if len(o.rows) == MaxOverrides {
		return failed("", fmt.Errorf("more than %d rows", MaxOverrides))
	}
	m, err := parseMatch(names.field(fields, "match"))
	if err != nil {
		return failed("match", err)
	}
	r := row{field: func(column string) string { return names.field(fields, column) }}
	own, bad := ownRule(&r)
	if bad != nil {
		return failed(bad.column, bad.err)
	}
	if column, err := o.conflict(d, m, own); err != nil {
		return failed(column, err)
	}
	own.rank = 1 + m.kind
	row := &override{m, line, text, own}
	o.rows = append(o.rows, *row)
	o.byMatch[m] = append(o.byMatch[m], row)
	o.elements[matchedPair{m, newPair(own.definition.ID, own.definition.Width)}] = line
	if !own.silent {
		o.names[matchedName{m, own.definition.Name}] = row
		if o.units[own.definition.Name] == nil {
			o.units[own.definition.Name] = row
		}
	}
	return nil
}

// ownRule reads a row's definition; of one that takes an element away only id and width.
func ownRule(r *row) (*rule, *fieldError) {
	if r.field("name") == "-" {
		full := r.field
		r.field = func(column string) string {
			switch column {
			case "id", "width":
				return full(column)
			case "name":
				return "silent"
			case "type":
				return "hex"
			}
			return ""
		}
		d := r.definition()
		if r.err != nil {
			return nil, r.err
		}
		return &rule{definition: &d, silent: true}, nil
	}
	d := r.definition()
	if r.err != nil {
		return nil, r.err
	}
	d.Confidence = OwnDefinition
	return newRule(&d), nil
}

// conflict finds another row of the same devices for the same element or with the same name, and a name that has
// another unit elsewhere: a name is one thing, in one unit.
func (o *overrides) conflict(d *Dictionary, m match, own *rule) (column string, err error) {
	def := own.definition
	if line, there := o.elements[matchedPair{m, newPair(def.ID, def.Width)}]; there {
		return "id", fmt.Errorf("line %d defines id %d of width %v for the same devices", line, def.ID, def.Width)
	}
	if own.silent {
		return "", nil
	}
	if other := o.names[matchedName{m, def.Name}]; other != nil && other.rule.definition.ID != def.ID {
		return "name", fmt.Errorf("line %d has the name %s for the same devices", other.line, def.Name)
	}
	if unit, known := d.unitOf(def.Name); known && unit != def.Unit {
		return "unit", fmt.Errorf("%q, but %s is in %q in the dictionary", def.Unit, def.Name, unit)
	}
	if other := o.units[def.Name]; other != nil && other.rule.definition.Unit != def.Unit {
		unit := other.rule.definition.Unit
		return "unit", fmt.Errorf("%q, but %s is in %q in line %d", def.Unit, def.Name, unit, other.line)
	}
	return "", nil
}

func (d *Dictionary) unitOf(name string) (unit string, known bool) {
	d.cache.units.Do(func() {
		d.cache.unit = map[string]string{}
		for i := range d.definitions {
			d.cache.unit[d.definitions[i].Name] = d.definitions[i].Unit
		}
	})
	unit, known = d.cache.unit[name]
	return unit, known
}

// overridden has the rows for all devices and for families in its rules. Those of models and IMEIs are laid over a
// device's table when the device is resolved.
func (d *Dictionary) overridden(o *overrides) *Dictionary {
	c := d.with(d.version+"+"+o.hash(), o)
	for i := range o.rows {
		c.place(o.rows[i].rule.definition.ID)
	}
	replace := func(f Family, r *rule) { c.rules[f][newPair(r.definition.ID, r.definition.Width)] = []*rule{r} }
	for _, row := range o.byMatch[match{kind: matchAll}] {
		for _, f := range Families() {
			replace(f, row.rule)
		}
	}
	for _, f := range Families() {
		for _, row := range o.byMatch[match{matchFamily, f.String()}] {
			replace(f, row.rule)
		}
	}
	return c
}

// hash is four hexadecimal digits that say which overrides these are.
func (o *overrides) hash() string {
	h := sha256.New()
	for i := range o.rows {
		row := &o.rows[i]
		fmt.Fprintf(h, "%v %v %+v\n", row.match, row.rule.silent, *row.rule.definition)
	}
	return hex.EncodeToString(h.Sum(nil)[:2])
}

// narrowest is what of the rows for IMEIs is for this one and for the fewest others; the zero value if none is.
func (o *overrides) narrowest(imei string) match {
	if o == nil {
		return match{}
	}
	if m := (match{matchIMEI, imei}); o.byMatch[m] != nil {
		return m
	}
	for n := min(len(imei), 64); n > 0; n-- {
		if m := (match{matchPrefix, imei[:n]}); o.byMatch[m] != nil {
			return m
		}
	}
	return match{}
}

// of are the rows of a model, and those for IMEIs of which the narrowest are known, the winner of a pair last.
func (o *overrides) of(model string, narrowest match) (rows []*override) {
	if o == nil {
		return nil
	}
	rows = append(rows, o.byMatch[match{matchModel, model}]...)
	for n := range narrowest.text {
		rows = append(rows, o.byMatch[match{matchPrefix, narrowest.text[:n+1]}]...)
	}
	if narrowest.kind == matchIMEI {
		rows = append(rows, o.byMatch[narrowest]...)
	}
	return rows
}

// Override is a row of the user's, as its file has it.
type Override struct {
	Line   int
	Text   string
	Match  string // which devices it is for, as the file has it
	Silent bool   // it takes the element away, and its definition has no more than id and width
	Definition
}

// Overrides are the rows of the user's, in the order of their file.
func (d *Dictionary) Overrides() iter.Seq[Override] {
	return func(yield func(Override) bool) {
		if d.overrides == nil {
			return
		}
		for _, o := range d.overrides.rows {
			if !yield(Override{o.line, o.text, o.match.String(), o.rule.silent, *o.rule.definition}) {
				return
			}
		}
	}
}
