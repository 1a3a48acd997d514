package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// element is an IO element as it is read for its device. Without a reader it is unknown.
type element struct {
	id     uint16
	group  teltonika.Group
	raw    []byte
	reader *meaning.Reader
	found  map[elementKey][]reading // of the packet's elements so far; may be nil
}

// elementKey tells the elements of a packet apart by what they may mean.
type elementKey struct {
	id    uint16
	group teltonika.Group
	raw   string
}

// element is one of the packet's.
func (p *Packet) element(id uint16, group teltonika.Group, raw []byte) element {
	if p.found == nil {
		p.found = make(map[elementKey][]reading)
	}
	return element{id, group, raw, p.reader, p.found}
}

func (e *element) width() meaning.Width { return meaning.Width(e.group) }

func (e *element) decode() (meaning.Value, meaning.Why) {
	if e.reader == nil {
		return meaning.Value{}, meaning.Unknown
	}
	return e.reader.Decode(e.id, e.width(), e.raw)
}

// reading is what an element means on some of the families that its device may be of.
type reading struct {
	value    meaning.Value
	families []string
	models   []string // none: all models of the families
}

// readings are all that the element may mean for the device, where that depends on its family or model. They are found
// out once for all equal elements of a packet.
func (e *element) readings() []reading {
	key := elementKey{e.id, e.group, string(e.raw)}
	all, known := e.found[key]
	if !known {
		if all = e.findReadings(); e.found != nil {
			e.found[key] = all
		}
	}
	return all
}

func (e *element) findReadings() (all []reading) {
	if e.reader == nil {
		return nil
	}
	for _, f := range candidates(e.reader) {
		for _, d := range e.reader.Dictionary().Lookup(f, e.reader.Model(), e.id, e.width()) {
			r := reading{d.Decode(e.raw, e.reader.Legacy()), []string{f.String()}, d.Models}
			i := slices.IndexFunc(all, func(other reading) bool { return sameReading(&other, &r) })
			if i < 0 {
				all = append(all, r)
				continue
			}
			if !slices.Contains(all[i].families, f.String()) {
				all[i].families = append(all[i].families, f.String())
			}
		}
	}
	return all
}

// candidates are the families that a device may be of: the most likely one, then the others in an order that does not
// depend on what was read before.
func candidates(r *meaning.Reader) []meaning.Family {
	all := r.Candidates()
	slices.Sort(all[1:])
	return all
}

func sameReading(a, b *reading) bool {
	return a.value.Name == b.value.Name && a.value.Unit == b.value.Unit && a.value.Fault == b.value.Fault &&
		string(a.value.JSON) == string(b.value.JSON) && slices.Equal(a.models, b.models)
}

// name is the element's id and name, or why it has none.
func (e *element) name() string {
	v, why := e.decode()
	name := v.Name
	switch why {
	case meaning.Unknown:
		if name = "(unknown)"; len(e.readings()) > 0 {
			name = "(depends on the family)"
		}
	case meaning.Ambiguous:
		if name = "(depends on the family)"; len(e.reader.Candidates()) == 1 {
			name = "(depends on the model)"
		}
	case meaning.Unsure:
		name = "(doubtful: what is known contradicts itself)"
	case meaning.Silenced:
		name = "(silenced by an override)"
	}
	return strconv.Itoa(int(e.id)) + " " + name
}

// text is the element's number as sent, or its bytes, and what that means.
func (e *element) text() string {
	v, why := e.decode()
	switch why {
	case meaning.Named:
		return e.valueText(v)
	case meaning.Unknown, meaning.Ambiguous:
		return inBrackets(e.rawText(meaning.Number, false), e.readingsText())
	}
	return e.rawText(meaning.Number, false)
}

// valueText is a value with what it was made from, unless that says the same.
func (e *element) valueText(v meaning.Value) string {
	kind, signed := meaning.Number, false
	if all := e.reader.Definitions(e.id, e.width()); len(all) > 0 {
		kind, signed = all[0].Type, all[0].Signed
	}
	raw, shown := e.rawText(kind, signed), shownValue(v)
	switch {
	case v.Fault != "":
		return inBrackets(raw, shown)
	case v.Text() == raw, e.group <= teltonika.Group8 && "0x"+v.Text() == raw:
		return withUnit(raw, v.Unit)
	case e.group > teltonika.Group8 && v.Text() == fmt.Sprintf("%x", e.raw):
		return raw
	case e.group > teltonika.Group8 && isText(kind):
		return strconv.Quote(v.Text())
	case isText(kind):
		shown = strconv.Quote(v.Text())
	}
	return inBrackets(raw, shown)
}

func isText(t meaning.Type) bool {
	return t == meaning.Text || t == meaning.ASCII8 || t == meaning.Mirror8
}

// rawText is the element as sent.
func (e *element) rawText(kind meaning.Type, signed bool) string {
	switch {
	case e.group > teltonika.Group8:
		return text(e.raw)
	case signed:
		return signedNumber(e.raw)
	case kind == meaning.Flags || kind == meaning.Hex || kind == meaning.ROM || isText(kind):
		return pattern(e.raw)
	}
	return number(e.raw)
}

// shownValue is a value with its unit, or its fault. What a device may have put into a text is quoted.
func shownValue(v meaning.Value) string {
	shown := v.Text()
	switch {
	case v.Fault != "":
		return "fault: " + v.Fault
	case shown == "":
		return "none"
	case quotable(shown):
		shown = strconv.Quote(shown)
	}
	return withUnit(shown, v.Unit)
}

// quotable reports whether a text has other characters than values that the dictionary words.
func quotable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return true
		}
	}
	return false
}

// readingsText lists what the element may mean.
func (e *element) readingsText() string {
	var all []string
	for _, r := range e.readings() {
		all = append(all, r.whose()+": "+r.value.Name+" = "+shownValue(r.value))
	}
	return strings.Join(all, "; ")
}

// maxModels is how many models are named where more are meant.
const maxModels = 3

// whose says which devices a reading is for.
func (r *reading) whose() string {
	if len(r.models) == 0 {
		return strings.Join(r.families, ", ")
	}
	more := ""
	if n := len(r.models) - maxModels; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(r.models[:min(maxModels, len(r.models))], ", ") + more
}

func inBrackets(s, more string) string {
	if more == "" {
		return s
	}
	return s + " (" + more + ")"
}

func withUnit(value, unit string) string {
	switch unit {
	case "":
		return value
	case "%", "°":
		return value + unit
	}
	return value + " " + unit
}

// eventName is the id and name of the element that caused a record: as it is read in the record or, if it is not there
// or the record does not decode, the name that the id has in every width.
func eventName(reader *meaning.Reader, id uint16, r *teltonika.Record) string {
	if r != nil {
		for _, e := range r.Elements {
			if e.ID == id {
				in := element{id, e.Group, elementBytes(r, e), reader, nil}
				return in.name()
			}
		}
	}
	var names []string
	for w := meaning.Width1; reader != nil && w <= meaning.WidthX; w++ {
		for _, d := range reader.Definitions(id, w) {
			names = append(names, d.Name)
		}
	}
	switch slices.Sort(names); len(slices.Compact(names)) {
	case 0:
		return strconv.Itoa(int(id)) + " (unknown)"
	case 1:
		return strconv.Itoa(int(id)) + " " + names[0]
	}
	return strconv.Itoa(int(id)) + " (not in the record; depends on its width or family)"
}

// elementBytes is the value of an element as sent.
func elementBytes(r *teltonika.Record, e teltonika.Element) []byte {
	if !e.Numeric() {
		return r.Bytes(e)
	}
	raw := make([]byte, e.Size)
	for i, n := len(raw)-1, e.Uint(); i >= 0; i, n = i-1, n>>8 {
		raw[i] = byte(n)
	}
	return raw
}

// Element is what an element means by a reader: its id and name, or why it has none, and its value. raw are its bytes
// as sent.
func Element(r *meaning.Reader, id uint16, w meaning.Width, raw []byte) (name, value string) {
	e := element{id, teltonika.Group(w), raw, r, nil}
	return e.name(), e.text()
}
