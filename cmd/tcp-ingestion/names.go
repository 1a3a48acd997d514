package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// namedLine shows a record on one line: when, who, where, and its signals by name, with units.
type namedLine struct {
	units map[string]string // by name
}

func newNamedLine(d *meaning.Dictionary) *namedLine {
	return &namedLine{dictionary.Units(d)}
}

// line is the record as one line. What devices say is quoted where it could be taken for something else.
func (n *namedLine) line(payload []byte) ([]byte, error) {
	var r struct {
		Timestamp  string                     `json:"timestamp"`
		DeviceID   string                     `json:"device_id"`
		Latitude   json.Number                `json:"latitude"`
		Longitude  json.Number                `json:"longitude"`
		Speed      json.Number                `json:"speed"`
		Fix        string                     `json:"fix"`
		Clock      string                     `json:"clock"`
		Attributes map[string]json.RawMessage `json:"attributes"`
		Signals    json.RawMessage            `json:"signals"`
		Faults     json.RawMessage            `json:"faults"`
	}
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("not a published record: %w", err)
	}
	if r.DeviceID == "" {
		return nil, errors.New("not a published record: it has no device_id")
	}
	out := fmt.Appendf(nil, "%s  %s  ", terminal.Line(r.Timestamp), terminal.Line(r.DeviceID))
	if r.Clock != "" {
		out = fmt.Appendf(out, "clock %s  ", terminal.Line(r.Clock))
	}
	if r.Fix != "none" && r.Latitude != "" && r.Longitude != "" {
		out = fmt.Appendf(out, "%s %s  ", r.Latitude, r.Longitude)
	}
	out = fmt.Appendf(out, "fix %s", terminal.Line(r.Fix))
	if r.Speed != "" {
		out = fmt.Appendf(out, "  %s km/h", r.Speed)
	}
	said, err := n.said(r.Signals, r.Faults)
	if err != nil {
		return nil, fmt.Errorf("not a published record: %w", err)
	}
	if len(said) == 0 {
		return fmt.Appendf(out, "  no signals of %s", plural(len(r.Attributes), "element")), nil
	}
	return fmt.Appendf(out, "  %s", strings.Join(said, ", ")), nil
}

// said are the signals and then the faults, each in the record's order.
func (n *namedLine) said(signals, faults json.RawMessage) (all []string, err error) {
	err = eachMember(signals, func(name string, value json.RawMessage) {
		all = append(all, word(name)+" "+n.value(name, value))
	})
	if err != nil {
		return nil, err
	}
	return all, eachMember(faults, func(name string, value json.RawMessage) {
		all = append(all, "FAULT "+word(name)+" "+n.value("", value))
	})
}

// value is a signal's with its unit.
func (n *namedLine) value(name string, value json.RawMessage) string {
	var one string
	var several []string
	switch {
	case json.Unmarshal(value, &one) == nil:
		if _, err := strconv.ParseUint(strings.TrimPrefix(one, "-"), 10, 64); err != nil {
			return word(one)
		}
		return withUnit(one, n.units[name]) // a number that is too large for JSON's readers, or an identifier
	case json.Unmarshal(value, &several) == nil:
		for i := range several {
			several[i] = word(several[i])
		}
		if len(several) == 0 {
			return "none"
		}
		return strings.Join(several, "+")
	}
	text := terminal.Line(string(value))
	if text == "true" || text == "false" {
		return text
	}
	return withUnit(text, n.units[name])
}

func withUnit(value, unit string) string {
	if unit == "" || unit == "%" {
		return value + unit
	}
	return value + " " + unit
}

// word is a text as it is if it can be taken for nothing else, else quoted.
func word(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") == "" {
		return s
	}
	return strconv.Quote(s)
}

// eachMember calls fn with the members of an object in their order. No object has none.
func eachMember(object json.RawMessage, fn func(name string, value json.RawMessage)) error {
	if len(object) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(errors.New("signals or faults are no object"), err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		fn(name.(string), value)
	}
	return nil
}
