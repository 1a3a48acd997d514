package redecode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// stored is a stored document, and what of it the meaning depends on.
type stored struct {
	DeviceID   string     `json:"device_id"`
	Codec      string     `json:"codec"`
	Attributes attributes `json:"attributes"`
	Raw        []byte     `json:"raw"`
	Signals    members    `json:"signals"`
	Faults     members    `json:"faults"`
	Device     struct {
		Family string `json:"family"`
		Model  string `json:"model"`
		By     string `json:"by"`
	} `json:"device"`

	Dict string `json:"dict"`

	members  members
	document []byte
}

func parse(document []byte) (*stored, error) {
	r := &stored{document: document}
	if err := json.Unmarshal(document, r); err != nil {
		return nil, err
	}
	if r.DeviceID == "" || r.Codec == "" {
		return nil, errors.New("it has no device_id or no codec")
	}
	return r, json.Unmarshal(document, &r.members)
}

// with is the document with other members in place of those that say what elements mean.
func (r *stored) with(meaning []byte) []byte {
	out := []byte{'{'}
	raw := len(r.members) - 1
	for i, m := range r.members {
		switch m.key {
		case "signals", "faults", "device", "dict":
			continue
		case "raw":
			raw = i
			continue
		}
		out = appendMember(out, m)
	}
	if len(out) == 1 {
		meaning = bytes.TrimPrefix(meaning, []byte(","))
	}
	out = append(out, meaning...)
	if raw >= 0 && r.members[raw].key == "raw" {
		out = appendMember(out, r.members[raw])
	}
	return append(out, '}')
}

func appendMember(dst []byte, m member) []byte {
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	return append(append(append(dst, m.name...), ':'), m.value...)
}

// member is a member of an object: its key, the key as it is written, and its value as it is written.
type member struct {
	key         string
	name, value []byte
}

// members are those of an object, in its order.
type members []member

// UnmarshalJSON reads an object.
func (m *members) UnmarshalJSON(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(errors.New("not an object"), err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, err := json.Marshal(key)
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		*m = append(*m, member{key.(string), name, value})
	}
	return nil
}

// attributes are a record's elements: each id once.
type attributes []element

// element is an element as attributes have it, and the widths that it may have been sent in.
type element struct {
	id     uint16
	number uint64
	bytes  []byte // of WidthX
	widths []meaning.Width
}

// UnmarshalJSON reads the object, and leaves out what is no element.
func (a *attributes) UnmarshalJSON(object []byte) error {
	var all members
	if err := json.Unmarshal(object, &all); err != nil {
		return err
	}
	for _, m := range all {
		id, err := strconv.ParseUint(m.key, 10, 16)
		if err != nil {
			continue // __lac and its like
		}
		e := element{id: uint16(id)}
		if err := e.read(m.value); err != nil {
			return fmt.Errorf("element %d: %w", id, err)
		}
		*a = append(*a, e)
	}
	return nil
}

func (e *element) read(value []byte) (err error) {
	var wrapped struct {
		Bigint *string `json:"__bigint"`
		Bytes  *[]byte `json:"__buffer_b64"`
	}
	if value[0] != '{' {
		e.number, err = strconv.ParseUint(string(value), 10, 32)
		e.widths = widthsOf(e.number)
		return err
	}
	if err := json.Unmarshal(value, &wrapped); err != nil {
		return err
	}
	switch {
	case wrapped.Bigint != nil:
		e.number, err = strconv.ParseUint(*wrapped.Bigint, 10, 64)
		e.widths = []meaning.Width{meaning.Width8}
		return err
	case wrapped.Bytes != nil:
		e.bytes, e.widths = *wrapped.Bytes, []meaning.Width{meaning.WidthX}
		return nil
	}
	return errors.New("a value of no known kind")
}

// narrow are the widths whose numbers attributes do not tell apart.
var narrow = []meaning.Width{meaning.Width1, meaning.Width2, meaning.Width4}

// widthsOf are those that the number fits into.
func widthsOf(number uint64) []meaning.Width {
	switch {
	case number > 0xffff:
		return narrow[2:]
	case number > 0xff:
		return narrow[1:]
	}
	return narrow
}

// elements are those of the attributes, each in the width that it was sent in if the record's own bytes are there, or
// if the document's names tell.
func (r *stored) elements(d *knowing) ([]element, error) {
	if len(r.Raw) == 0 {
		for i := range r.Attributes {
			r.narrow(d, &r.Attributes[i])
		}
		if r.Codec == "8E" {
			return r.Attributes, nil
		}
		return withoutBytes(r.Attributes), nil
	}
	sent, err := r.sent()
	if err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	widths := map[uint16]meaning.Width{}
	for _, e := range sent.Elements { // of an id that comes twice the last one counts, as in the attributes
		widths[e.ID] = meaning.Width(e.Group)
	}
	for i := range r.Attributes {
		e := &r.Attributes[i]
		width, ok := widths[e.id]
		if !ok {
			return nil, fmt.Errorf("element %d of the attributes is not in raw", e.id)
		}
		e.widths = []meaning.Width{width}
	}
	return r.Attributes, nil
}

// narrow leaves the one width of an element in which it has a name that the document gives: whoever named it knew.
func (r *stored) narrow(d *knowing, e *element) {
	if len(e.widths) == 1 || len(r.Signals)+len(r.Faults) == 0 {
		return
	}
	var named []meaning.Width
	for _, w := range e.widths {
		for _, name := range d.names(e.id, w) {
			if r.Signals.has(name) || r.Faults.has(name) {
				named = append(named, w)
				break
			}
		}
	}
	if len(named) == 1 {
		e.widths = named
	}
}

func (m members) has(key string) bool {
	for i := range m {
		if m[i].key == key {
			return true
		}
	}
	return false
}

// withoutBytes leaves out elements of 16 bytes, which look like those of a length of their own, that only Codec 8
// Extended has, and have no meaning.
func withoutBytes(all []element) (left []element) {
	for _, e := range all {
		if e.bytes == nil {
			left = append(left, e)
		}
	}
	return left
}

var codecs = map[string]teltonika.Codec{
	"8": teltonika.Codec8, "8E": teltonika.Codec8E, "16": teltonika.Codec16,
}

// sent decodes the record's own bytes.
func (r *stored) sent() (*teltonika.Record, error) {
	codec, ok := codecs[r.Codec]
	if !ok {
		return nil, fmt.Errorf("codec %q", r.Codec)
	}
	body := append([]byte{byte(codec), 1}, r.Raw...)
	var data teltonika.AVLData
	if err := data.Decode(append(body, 1)); err != nil {
		return nil, err
	}
	return &data.Records[0], nil
}
