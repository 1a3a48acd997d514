package stored

import (
	"encoding/json"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Element is an element of a stored record.
type Element struct {
	ID     uint16
	Widths []meaning.Width // the one that it was sent in or, if that is lost, those that its number fits into
	Number uint64
	Bytes  []byte // of WidthX and Width16
}

// Exact reports whether the width is known.
func (e *Element) Exact() bool { return len(e.Widths) == 1 }

// Raw are the element's bytes in a width.
func (e *Element) Raw(w meaning.Width) []byte {
	if w > meaning.Width8 {
		return e.Bytes
	}
	raw := make([]byte, w.Size())
	for i, n := len(raw)-1, e.Number; i >= 0; i, n = i-1, n>>8 {
		raw[i] = byte(n)
	}
	return raw
}

func (r *Record) readElements() {
	if r.Codec == teltonika.Codec7.String() {
		return
	}
	places := map[uint16]int{}
	for _, m := range r.Attributes {
		id, err := strconv.ParseUint(m.Key, 10, 16)
		if err != nil || strconv.FormatUint(id, 10) != m.Key {
			continue // __generation_type, or nothing of ours
		}
		e, ok := r.element(uint16(id), m.Value)
		if !ok {
			r.Problem = fmt.Errorf("element %d: a value of no known kind", id)
			continue
		}
		if place, repeated := places[e.ID]; repeated {
			r.Elements[place] = e
			continue
		}
		places[e.ID] = len(r.Elements)
		r.Elements = append(r.Elements, e)
	}
	if len(r.Raw) == 0 {
		return
	}
	if err := r.readWidths(); err != nil {
		r.Problem = fmt.Errorf("raw: %w", err)
	}
}

// element reads one attribute: a number, or an object that holds a wider one or bytes.
func (r *Record) element(id uint16, value []byte) (Element, bool) {
	if value[0] != '{' {
		n, err := strconv.ParseUint(string(value), 10, 32)
		return Element{ID: id, Widths: fitting(n), Number: n}, err == nil
	}
	var o struct {
		Bigint *string `json:"__bigint"`
		Buffer *[]byte `json:"__buffer_b64"`
	}
	switch err := json.Unmarshal(value, &o); {
	case err != nil:
		return Element{}, false
	case o.Bigint != nil:
		n, err := strconv.ParseUint(*o.Bigint, 10, 64)
		return Element{ID: id, Widths: []meaning.Width{meaning.Width8}, Number: n}, err == nil
	case o.Buffer != nil:
		w := meaning.WidthX
		if r.Codec != teltonika.Codec8E.String() {
			w = meaning.Width16 // codecs 8 and 16 have no lengths of their own
		}
		return Element{ID: id, Widths: []meaning.Width{w}, Bytes: *o.Buffer}, true
	}
	return Element{}, false
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

var codecs = map[string]teltonika.Codec{
	"8": teltonika.Codec8, "8E": teltonika.Codec8E, "16": teltonika.Codec16,
}

// readWidths takes the widths from the record's own bytes. Of an id that comes twice the last one counts, as in the
// attributes.
func (r *Record) readWidths() error {
	codec, ok := codecs[r.Codec]
	if !ok {
		return fmt.Errorf("codec %q", r.Codec)
	}
	body := append([]byte{byte(codec), 1}, r.Raw...)
	var data teltonika.AVLData
	if err := data.Decode(append(body, 1)); err != nil {
		return err
	}
	widths := map[uint16]meaning.Width{}
	for _, e := range data.Records[0].Elements {
		widths[e.ID] = meaning.Width(e.Group)
	}
	for _, e := range r.Elements {
		if _, sent := widths[e.ID]; !sent {
			return fmt.Errorf("element %d of the attributes is not in it", e.ID)
		}
	}
	for i := range r.Elements {
		r.Elements[i].Widths = []meaning.Width{widths[r.Elements[i].ID]}
	}
	return nil
}
