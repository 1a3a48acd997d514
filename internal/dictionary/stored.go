package dictionary

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Record is a stored record as far as its elements are concerned.
type Record struct {
	DeviceID   string                     `json:"device_id"`
	Codec      string                     `json:"codec"`
	Timestamp  string                     `json:"timestamp"`
	Attributes map[string]json.RawMessage `json:"attributes"`
	Raw        []byte                     `json:"raw"` // with RECORD_RAW
	Signals    map[string]json.RawMessage `json:"signals"`
	Faults     map[string]string          `json:"faults"`
	Device     struct {
		Family string `json:"family"`
		Model  string `json:"model"`
		By     string `json:"by"`
	} `json:"device"`

	Elements []Element `json:"-"` // by id; none of Codec 7, whose ids are not those of the dictionary
}

// Element is an element of a stored record. Of a number of 1, 2 or 4 bytes the record does not say how wide it was
// sent, unless it has its raw bytes.
type Element struct {
	ID     uint16
	Widths []meaning.Width // the one that it was sent in or, if that is lost, those that its number fits into
	number uint64
	bytes  []byte // of WidthX and Width16
}

// Exact reports whether the width is known.
func (e *Element) Exact() bool { return len(e.Widths) == 1 }

// raw are the element's bytes in a width.
func (e *Element) raw(w meaning.Width) []byte {
	if w > meaning.Width8 {
		return e.bytes
	}
	raw := make([]byte, w.Size())
	for i, n := len(raw)-1, e.number; i >= 0; i, n = i-1, n>>8 {
		raw[i] = byte(n)
	}
	return raw
}

// ParseRecord reads the document of a stored record.
func ParseRecord(document []byte) (*Record, error) {
	r := new(Record)
	if err := json.Unmarshal(document, r); err != nil {
		return nil, fmt.Errorf("not a published record: %w", err)
	}
	if r.DeviceID == "" || r.Codec == "" {
		return nil, errors.New("not a published record: it has no device_id or no codec")
	}
	if strings.Trim(r.Timestamp, "0123456789-:.TZ") != "" {
		r.Timestamp = "" // it is shown
	}
	if r.Codec == teltonika.Codec7.String() {
		return r, nil
	}
	if len(r.Raw) > 0 && r.fromRaw() {
		return r, nil
	}
	for key, value := range r.Attributes {
		id, err := strconv.ParseUint(key, 10, 16)
		if err != nil || strconv.FormatUint(id, 10) != key {
			continue // __generation_type, or nothing of ours
		}
		if e, ok := r.attribute(uint16(id), value); ok {
			r.Elements = append(r.Elements, e)
		}
	}
	slices.SortFunc(r.Elements, func(a, b Element) int { return cmp.Compare(a.ID, b.ID) })
	return r, nil
}

// fromRaw reads the elements from the record's bytes as they were sent, if they are whole.
func (r *Record) fromRaw() bool {
	codecs := map[string]teltonika.Codec{"8": teltonika.Codec8, "8E": teltonika.Codec8E, "16": teltonika.Codec16}
	body := append([]byte{byte(codecs[r.Codec]), 1}, r.Raw...)
	var data teltonika.AVLData
	if data.Decode(append(body, 1)) != nil || len(data.Records) != 1 {
		return false
	}
	sent := &data.Records[0]
	last := map[uint16]Element{} // an id that is repeated keeps its last value
	for _, e := range sent.Elements {
		el := Element{ID: e.ID, Widths: []meaning.Width{meaning.Width(e.Group)}, number: e.Uint()}
		if !e.Numeric() {
			el.bytes = sent.Bytes(e)
		}
		last[e.ID] = el
	}
	for _, e := range last {
		r.Elements = append(r.Elements, e)
	}
	slices.SortFunc(r.Elements, func(a, b Element) int { return cmp.Compare(a.ID, b.ID) })
	return true
}

// attribute reads one attribute: a number, or an object that holds a wider one or bytes.
func (r *Record) attribute(id uint16, value json.RawMessage) (Element, bool) {
	if len(value) > 0 && value[0] != '{' {
		n, err := strconv.ParseUint(string(value), 10, 32)
		return Element{ID: id, Widths: fitting(n), number: n}, err == nil
	}
	var o struct {
		Bigint *string `json:"__bigint"`
		Buffer []byte  `json:"__buffer_b64"`
	}
	if json.Unmarshal(value, &o) != nil {
		return Element{}, false
	}
	if o.Bigint == nil {
		w := meaning.WidthX
		if r.Codec != teltonika.Codec8E.String() {
			w = meaning.Width16 // codecs 8 and 16 have no lengths of their own
		}
		return Element{ID: id, Widths: []meaning.Width{w}, bytes: o.Buffer}, true
	}
	n, err := strconv.ParseUint(*o.Bigint, 10, 64)
	return Element{ID: id, Widths: []meaning.Width{meaning.Width8}, number: n}, err == nil
}

// fitting are the widths that a number may have been sent in.
func fitting(n uint64) []meaning.Width {
	switch {
	case n < 1<<8:
		return []meaning.Width{meaning.Width1, meaning.Width2, meaning.Width4}
	case n < 1<<16:
		return []meaning.Width{meaning.Width2, meaning.Width4}
	}
	return []meaning.Width{meaning.Width4}
}

// widthsText is such as "4", or "1-4" where a number may have been sent in several widths.
func widthsText(widths []meaning.Width) string {
	first := widths[0].String()
	if len(widths) == 1 {
		return first
	}
	return first + "-" + widths[len(widths)-1].String()
}
