package meaning

import (
	"encoding/json"
	"strings"
)

// Value is what an element says: a value, or a fault.
type Value struct {
	Name  string
	Unit  string // of a number; of a fault what the number would have had
	JSON  []byte // as in the record's signals; empty with a fault
	Fault string // why there is no value: not_connected, unknown_code and so on
}

// Text is the value for people: JSON without its quotes, the words of flags joined by +. It may hold any characters
// that the device has sent: escape it where it is shown.
func (v Value) Text() string {
	var one string
	var several []string
	switch {
	case json.Unmarshal(v.JSON, &one) == nil:
		return one
	case json.Unmarshal(v.JSON, &several) == nil:
		return strings.Join(several, "+")
	}
	return string(v.JSON)
}

// Decode is what raw, the element's bytes as sent, means by this definition alone. legacy asks for the scale of
// firmware before 03.28; see Identity.
func (d *Definition) Decode(raw []byte, legacy bool) Value {
	r := newRule(d)
	if legacy {
		r = r.legacy
	}
	v := variable(raw)
	if d.Width != WidthX && len(raw) <= 8 {
		v.bytes = nil
	}
	return r.value(v)
}

func (r *rule) value(v value) Value {
	out := Value{Name: r.definition.Name}
	text, fault := r.append(nil, v)
	numeric := v.size > 0
	switch {
	case fault != nil:
		out.Fault, out.Unit = string(fault[1:len(fault)-1]), r.definition.Unit
		if r.kind == ROM || r.kind == Enum && string(fault) == string(unknownCode) {
			out.Unit = ""
		}
		return out
	case r.kind == Number && numeric:
		out.Unit = r.definition.Unit
	case r.kind == Epoch && numeric:
		out.Unit = "s"
	}
	out.JSON = text
	return out
}
