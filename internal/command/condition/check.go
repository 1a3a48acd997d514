package condition

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Record is a device's last record.
type Record struct {
	// Document is the record as it is published; nil if none came on this connection.
	Document []byte
	// Age is how long ago the vehicle was as the record says, at least: since the record arrived, and how long it was on
	// its way by the device's clock.
	Age time.Duration
}

// NotMet is why a condition is not met, with the value that was seen.
type NotMet struct{ Why string }

func (e *NotMet) Error() string { return notMet + e.Why }

// notMet begins what a [NotMet] says. Programs may go by it.
const notMet = "condition not met: "

// IsNotMet reports whether a command's reason for having failed is a [NotMet].
func IsNotMet(reason string) bool { return strings.HasPrefix(reason, notMet) }

// maxSeen is how much of a value is repeated, in bytes: a device may have sent it.
const maxSeen = 64

// document is what of a published record is compared.
type document struct {
	Speed   json.Number                `json:"speed"`
	Fix     string                     `json:"fix"`
	Signals map[string]json.RawMessage `json:"signals"`
	Faults  map[string]json.RawMessage `json:"faults"`
}

// Check is nil if the record meets the condition, and a [NotMet] otherwise.
func (c *Condition) Check(r Record) error {
	switch {
	case c.wrong != nil:
		return &NotMet{"it cannot be read: it " + c.wrong.Error()}
	case r.Document == nil:
		return &NotMet{"the device has sent no record on this connection that could be read"}
	case r.Age > c.age:
		return &NotMet{fmt.Sprintf("the last record is %v old, must be %v at most", r.Age.Round(time.Second), c.age)}
	}
	var d document
	if err := json.Unmarshal(r.Document, &d); err != nil {
		return &NotMet{"the last record cannot be read"}
	}
	for i := range c.terms {
		if why := c.terms[i].check(&d); why != "" {
			return &NotMet{why}
		}
	}
	return nil
}

// check says why the term is not true, or nothing.
func (t *term) check(d *document) string {
	seen, unknown := t.seen(d)
	if unknown != "" {
		return unknown
	}
	if !t.holds(seen) {
		shown := strconv.Quote(strings.ToValidUTF8(seen[:min(len(seen), maxSeen)], ""))
		if plain := shown[1 : len(shown)-1]; textForm.MatchString(plain) {
			shown = plain
		}
		return fmt.Sprintf("%s is %s, must be %s %s", t.field, shown, t.op, t.value)
	}
	return ""
}

// seen is the field's value in the record, or why there is none to go by.
func (t *term) seen(d *document) (value, unknown string) {
	if t.field == fieldSpeed {
		switch {
		case d.Fix != "ok": // without satellites a device says 0, or its last speed
			return "", fmt.Sprintf("the speed is not known: fix is %.16q", d.Fix)
		case d.Speed == "":
			return "", "the record has no speed"
		}
		return d.Speed.String(), ""
	}
	if fault, is := d.Faults[t.field]; is {
		return "", fmt.Sprintf("%s has no value: %s", t.field, strings.Trim(string(fault[:min(len(fault), maxSeen)]), `"`))
	}
	raw, is := d.Signals[t.field]
	if !is {
		return "", t.field + " is not in the record"
	}
	var one string
	var several []json.RawMessage
	switch {
	case json.Unmarshal(raw, &several) == nil:
		return "", t.field + " is several words, which cannot be compared"
	case json.Unmarshal(raw, &one) == nil:
		return one, ""
	}
	return string(raw), ""
}

// truths are the words for a signal that is true or false.
var truths = map[string]string{
	"true": "true", "on": "true", "yes": "true", "1": "true",
	"false": "false", "off": "false", "no": "false", "0": "false",
}

// holds compares what was seen with the value of the term.
func (t *term) holds(seen string) bool {
	want := t.value
	if seen == "true" || seen == "false" {
		truth, is := truths[strings.ToLower(want)]
		return is && (t.op == "=" && seen == truth || t.op == "!=" && seen != truth)
	}
	a, errA := number(seen)
	b, errB := number(want)
	if errA != nil || errB != nil || t.unit != "" && want+t.unit == seen {
		if slices.Contains(ordered, t.op) {
			return false
		}
		return (seen == want+t.unit) == (t.op == "=")
	}
	order := a.Cmp(b)
	switch t.op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "=":
		return order == 0
	}
	return order != 0
}

// exact is how many bits a number is compared with: those of the longest code that a record has, of eight bytes.
const exact = 64

// number reads a number, not one without an end.
func number(text string) (*big.Float, error) {
	f, _, err := big.ParseFloat(text, 10, exact, big.ToNearestEven)
	if err == nil && f.IsInf() {
		err = strconv.ErrRange
	}
	return f, err
}
