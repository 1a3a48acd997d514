// Package condition says whether a device's last record allows a command to be sent. What is not certain is not met: a
// value that is missing, faulty or too old never proves anything.
package condition

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a condition may have at most.
const (
	MaxLength = 256 // bytes of its text
	MaxTerms  = 8
	MaxAge    = 24 * time.Hour
)

// DefaultAge is how old the record may be if the condition does not say.
const DefaultAge = time.Minute

// Condition is what has to be true of the device's last record. It is immutable.
type Condition struct {
	terms []term
	age   time.Duration // of the record, at most
	wrong error         // it cannot be read, so it is never met
}

// term compares one field with a value.
type term struct {
	field string
	op    string
	value string // as it was given, without its unit if it is a number
	unit  string // of a number; empty if none was given
}

// The fields that are no signals.
const (
	fieldAge   = "age"   // of the record
	fieldSpeed = "speed" // km/h, by the satellites
	unitSpeed  = "km/h"
)

// short are names for signals that everybody asks for.
var short = map[string]string{"ignition": "engine.ignition.status", "movement": "movement.status"}

var (
	termForm   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9._]*) *(<=|>=|!=|<|>|=) *([^<>=! ][^<>=!]*)$`)
	numberForm = regexp.MustCompile(`^([+-]?[0-9]+(?:\.[0-9]+)?) *([^0-9 .+-][^0-9 ]*)?$`)
	textForm   = regexp.MustCompile(`^[A-Za-z0-9._:+-]+$`)
	ordered    = []string{"<", "<=", ">", ">="}
)

// Parse reads a condition of up to MaxLength bytes:
//
//	condition = term *( "," term )
//	term      = field operator value
//	operator  = "<" | "<=" | ">" | ">=" | "=" | "!="
//
// A field is speed (km/h), ignition, movement, age (of the record, such as age<=2m) or the name of a signal. A value is
// a number, perhaps with the signal's unit behind it, or true, false or another word. All terms have to be true. A
// condition that says nothing of the age has age<=60s.
func Parse(text string) (*Condition, error) {
	if len(text) > MaxLength {
		return nil, fmt.Errorf("has %d bytes, must have %d at most", len(text), MaxLength)
	}
	parts := strings.Split(text, ",")
	if len(parts) > MaxTerms {
		return nil, fmt.Errorf("has %d terms, must have %d at most", len(parts), MaxTerms)
	}
	c := &Condition{}
	for _, part := range parts {
		if err := c.add(strings.TrimSpace(part)); err != nil {
			return nil, err
		}
	}
	if len(c.terms) == 0 {
		return nil, errors.New("says nothing but how old the record may be: add such as speed<5")
	}
	if c.age == 0 {
		c.age = DefaultAge
	}
	return c, nil
}

// Read is Parse for a condition that was kept. One that cannot be read, because a later version wrote it perhaps, is
// never met. Empty is none: nil.
func Read(text string) *Condition {
	if text == "" {
		return nil
	}
	c, err := Parse(text)
	if err != nil {
		return &Condition{wrong: err}
	}
	return c
}

func (c *Condition) add(text string) error {
	m := termForm.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("%.64q is not a field, an operator (< <= = != >= >) and a value, such as speed<5", text)
	}
	t := term{field: strings.ToLower(m[1]), op: m[2], value: strings.TrimSpace(m[3])}
	if name := short[t.field]; name != "" {
		t.field = name
	}
	if t.field == fieldAge {
		return c.setAge(t)
	}
	if n := numberForm.FindStringSubmatch(t.value); n != nil {
		t.value, t.unit = n[1], n[2]
	}
	switch {
	case t.field == fieldSpeed && (!t.numeric() || t.unit != "" && t.unit != unitSpeed):
		return fmt.Errorf("%.64q: speed is compared with a number, in km/h", text)
	case !t.numeric() && !textForm.MatchString(t.value):
		return fmt.Errorf("%.64q: a value is a number or a word", text)
	case !t.numeric() && slices.Contains(ordered, t.op):
		return fmt.Errorf("%.64q: a word is compared with = or != only", text)
	}
	c.terms = append(c.terms, t)
	return nil
}

// setAge takes the term that says how old the record may be.
func (c *Condition) setAge(t term) error {
	age, err := time.ParseDuration(t.value)
	if seconds, wrong := strconv.ParseUint(t.value, 10, 32); wrong == nil {
		age, err = time.Duration(seconds)*time.Second, nil
	}
	switch {
	case t.op != "<" && t.op != "<=":
		return errors.New("age is how old the record may be: age<=60s")
	case c.age != 0:
		return errors.New("age is given twice")
	case err != nil || age < time.Second || age > MaxAge || age%time.Second != 0:
		return fmt.Errorf("age %.32q must be whole seconds from 1s to %v, such as 60s or 5m", t.value, MaxAge)
	}
	c.age = age
	return nil
}

// numeric reports whether the value is a number.
func (t *term) numeric() bool {
	_, err := strconv.ParseFloat(t.value, 64)
	return err == nil && numberForm.MatchString(t.value)
}

// String is the condition as Parse reads it, in full. It is empty for none.
func (c *Condition) String() string {
	switch {
	case c == nil:
		return ""
	case c.wrong != nil:
		return "unreadable"
	}
	var b strings.Builder
	for _, t := range c.terms {
		b.WriteString(t.field + t.op + t.value + t.unit + ",")
	}
	fmt.Fprintf(&b, "age<=%ds", int(c.age.Seconds()))
	return b.String()
}

// Validate names a field that no signal has, and a unit that is not the field's. units are those of all signals, by
// name.
func (c *Condition) Validate(units map[string]string) error {
	for _, t := range c.terms {
		unit, known := units[t.field]
		switch {
		case t.field == fieldSpeed:
		case !known:
			return fmt.Errorf("%q is neither speed, ignition, movement or age nor the name of a signal", t.field)
		case t.unit != "" && unit == "" && !slices.Contains(ordered, t.op): // a word that begins with digits
		case t.unit != "" && t.unit != unit:
			return fmt.Errorf("%s is in %q, not in %q", t.field, unit, t.unit)
		}
	}
	return nil
}
