package stored

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Member is a member of an object: its key, the key as JSON, and its value as it is written.
type Member struct {
	Key         string
	Name, Value []byte
}

// Members are those of an object, in its order. Null has none.
type Members []Member

// UnmarshalJSON reads an object.
func (m *Members) UnmarshalJSON(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	open, err := d.Token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('{') {
		return errors.New("not an object")
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
		*m = append(*m, Member{key.(string), name, value})
	}
	return nil
}

func (m Members) has(key string) bool {
	for i := range m {
		if m[i].Key == key {
			return true
		}
	}
	return false
}
