package record

import (
	"encoding/base64"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// appendAttributes appends the IO elements in wire order, every id once, and returns these too. A repeated id keeps its
// first place and its last value.
func (e *Encoder) appendAttributes(dst []byte, r *teltonika.Record) ([]byte, []teltonika.Element) {
	dst = append(dst, `,"attributes":`...)
	open := len(dst)
	switch e.origin.Codec {
	case teltonika.Codec16:
		dst = append(dst, `,"__generation_type":`...)
		dst = appendByte(dst, r.Generation)
	case teltonika.Codec7:
		dst = appendNetwork(dst, r)
	}
	dst, elements := e.appendElements(dst, r)
	if len(dst) == open {
		return append(dst, "{}"...), elements
	}
	dst[open] = '{' // over the first member's comma
	return append(dst, '}'), elements
}

// appendElements appends a member for each id, every one with a comma before it.
func (e *Encoder) appendElements(dst []byte, r *teltonika.Record) ([]byte, []teltonika.Element) {
	start := len(dst)
	dst, repeated := appendUntilRepeated(dst, r, r.Elements)
	if !repeated {
		return dst, r.Elements
	}
	dst = dst[:start]
	distinct := e.distinct(r.Elements)
	for i := range distinct {
		dst, _ = appendUntilRepeated(dst, r, distinct[i:i+1])
	}
	return dst, distinct
}

// appendUntilRepeated appends the elements, until an id may be there for the second time.
func appendUntilRepeated(dst []byte, r *teltonika.Record, elements []teltonika.Element) (_ []byte, repeated bool) {
	// A bit for each id modulo 1024: different ids of one device rarely share one.
	var seen [16]uint64
	for i := range elements {
		el := &elements[i]
		word, bit := &seen[el.ID/64%16], uint64(1)<<(el.ID%64)
		if *word&bit != 0 {
			return dst, true
		}
		*word |= bit

		if int(el.ID) < len(keys) {
			dst = keys[el.ID].append(dst)
		} else {
			dst = appendKey(dst, el.ID)
		}
		v := el.Uint()
		switch {
		case el.Group == teltonika.Group8:
			dst = appendBigint(dst, v)
		case !el.Numeric():
			dst = appendBuffer(dst, r.Bytes(*el))
		case v < uint64(len(small)): // appendUint, but inlined
			dst = small[v].append(dst)
		default:
			dst = appendLong(dst, v)
		}
	}
	return dst, false
}

// appendBigint appends a number that most JSON readers could not hold: they take numbers for 64-bit floats, which
// are exact up to 53 bits only.
func appendBigint(dst []byte, n uint64) []byte {
	dst = append(dst, `{"__bigint":"`...)
	dst = appendUint(dst, n)
	return append(dst, `"}`...)
}

func appendBuffer(dst, value []byte) []byte {
	dst = append(dst, `{"__buffer_b64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, `"}`...)
}

// maxKeptIDs is how many ids Encoder.places may have held to be used again. Clearing a map takes as long as
// filling the most that it ever held, so that one freak record would slow down all later ones that repeat an id.
const maxKeptIDs = 1024

// distinct is the elements without repeated ids, valid until the next call.
func (e *Encoder) distinct(elements []teltonika.Element) []teltonika.Element {
	if len(e.places) > maxKeptIDs {
		e.places = nil
	}
	if e.places == nil {
		e.places = make(map[uint16]int)
	}
	clear(e.places)
	e.elements = e.elements[:0]
	for _, el := range elements {
		place, repeated := e.places[el.ID]
		if repeated {
			e.elements[place] = el
			continue
		}
		e.places[el.ID] = len(e.elements)
		e.elements = append(e.elements, el)
	}
	return e.elements
}

// keys[id] is an element's key with comma and colon, for the ids that most records are made of.
var keys = makeKeys()

func makeKeys() (t [1000]token) {
	for id := range t {
		t[id] = newToken(`,"` + strconv.Itoa(id) + `":`)
	}
	return t
}

// appendKey appends the key of any id.
func appendKey(dst []byte, id uint16) []byte {
	dst = append(dst, `,"`...)
	dst = appendUint(dst, uint64(id))
	return append(dst, `":`...)
}
