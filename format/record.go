package format

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// record is a published record. Numbers stay the texts that they are, so that none is rounded; what the document lacks
// is nil.
type record struct {
	DeviceID   string          `json:"device_id"`
	Timestamp  time.Time       `json:"timestamp"`
	Latitude   json.RawMessage `json:"latitude"`
	Longitude  json.RawMessage `json:"longitude"`
	Altitude   json.RawMessage `json:"altitude"`
	Angle      json.RawMessage `json:"angle"`
	Speed      json.RawMessage `json:"speed"` // km/h
	Satellites json.RawMessage `json:"satellites"`
	Priority   json.RawMessage `json:"priority"`
	Attributes members         `json:"attributes"`
	EventID    json.RawMessage `json:"event_id"`
	Fix        string          `json:"fix"`
	Codec      string          `json:"codec"`
	ReceivedAt time.Time       `json:"received_at"`
	ID         json.RawMessage `json:"id"`
	Clock      json.RawMessage `json:"clock"`
	Signals    members         `json:"signals"`
	Faults     members         `json:"faults"`
	Device     struct {
		Family string `json:"family"`
		Model  string `json:"model"`
	} `json:"device"`
}

// The values of fix.
const (
	fixOK    = "ok"
	fixStale = "stale" // the last known place again
)

func parse(document []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(document, r); err != nil {
		return nil, fmt.Errorf("not a published record: %w", err)
	}
	if r.DeviceID == "" || r.Timestamp.IsZero() {
		return nil, errors.New("not a published record: it has no device_id or no timestamp")
	}
	return r, nil
}

// hasPlace reports whether the record has coordinates that the device has measured, now or earlier.
func (r *record) hasPlace() bool {
	return r.Latitude != nil && r.Longitude != nil && (r.Fix == fixOK || r.Fix == fixStale)
}

// member is a member of an object.
type member struct {
	key   string
	value json.RawMessage
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
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		*m = append(*m, member{key.(string), value})
	}
	return nil
}

func (m members) has(key string) bool {
	for i := range m {
		if m[i].key == key {
			return true
		}
	}
	return false
}

// maxExact is the greatest integer up to which every reader of JSON numbers has all of them.
const maxExact = 1 << 53

// plain is an element's value as attributes have it: a number, or text where it is beyond what numbers hold or where
// the element is bytes.
func plain(value json.RawMessage) json.RawMessage {
	var wrapped struct {
		Bigint *string `json:"__bigint"`
		Bytes  *[]byte `json:"__buffer_b64"`
	}
	if value[0] != '{' || json.Unmarshal(value, &wrapped) != nil {
		return value
	}
	switch {
	case wrapped.Bytes != nil:
		return quoted(hex.EncodeToString(*wrapped.Bytes))
	case wrapped.Bigint != nil:
		if n, err := strconv.ParseUint(*wrapped.Bigint, 10, 64); err == nil && n <= maxExact {
			return json.RawMessage(*wrapped.Bigint)
		}
		return quoted(*wrapped.Bigint)
	}
	return value
}

// object is an object that is being written. A key that is there already is left out: the first value stands.
type object struct {
	text []byte
	keys map[string]bool
}

// add adds a member, unless the value is nil.
func (o *object) add(key string, value json.RawMessage) {
	if value == nil || o.keys[key] {
		return
	}
	if o.keys == nil {
		o.keys = map[string]bool{}
	}
	o.keys[key] = true
	if o.text = append(o.text, ','); len(o.text) == 1 {
		o.text[0] = '{'
	}
	o.text = append(append(append(o.text, quoted(key)...), ':'), value...)
}

func (o *object) end() json.RawMessage {
	if o.text == nil {
		return json.RawMessage("{}")
	}
	return append(o.text, '}')
}

func quoted(text string) json.RawMessage {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // no text fails
	}
	return b
}

func boolean(b bool) json.RawMessage { return strconv.AppendBool(nil, b) }
