package meaning

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
)

// rule is a definition made ready to decode: texts as they go into JSON, numbers as numbers.
type rule struct {
	key     []byte         // ,"name":
	short   [shortKey]byte // the key's beginning
	quick   quick
	kind    Type
	signed  bool
	careful bool      // a number may be negative, or an error code
	silent  bool      // an override that takes the element out
	rank    matchKind // of an override how narrow it is, from 1
	invalid []quoted
	words   [][]byte // of Enum, by the number, quoted; for small numbers

	definition *Definition
	scale      scale
	rare       []quoted // of Enum, the other numbers
	bits       []bitsWord
	legacy     *rule  // with the old scale and its error codes; the rule itself if there is none
	sameAs     string // equal texts decode alike
}

// quoted is a number's word or reason, in quotes.
type quoted struct {
	number int64
	text   []byte
}

type bitsWord struct {
	low  uint8
	mask uint64 // of the number shifted by low
	text []byte // ,"word" or, of several bits, ,"word:
}

// unknownCode is the reason of a number of an Enum that has no word.
var unknownCode = quote("unknown_code")

// notPresent is the reason of a ROM identifier of zeros.
var notPresent = quote("not_present")

func quote(s string) []byte { return strconv.AppendQuote(nil, s) }

// legacyMultiplier is the scale of temperatures whose error codes the dictionary marks as legacy.
const legacyMultiplier = "0.1"

// newRule makes a rule of a definition that has been checked.
func newRule(d *Definition) *rule {
	r := compile(d, d.Multiplier, false)
	r.legacy = r
	for _, i := range d.Invalid {
		if i.Legacy {
			r.legacy = compile(d, legacyMultiplier, true)
			r.legacy.legacy = r.legacy
			break
		}
	}
	return r
}

func compile(d *Definition, multiplier string, legacy bool) *rule {
	m, _ := parseDecimalOr(multiplier, "1")
	offset, _ := parseDecimalOr(d.Offset, "0")
	r := &rule{
		definition: d, kind: d.Type, signed: d.Signed, scale: newScale(m, offset),
		key: fmt.Appendf(nil, `,"%s":`, d.Name),
	}
	for _, w := range d.Enum {
		if w.Number < 0 || w.Number > 255 {
			r.rare = append(r.rare, quoted{w.Number, quote(w.Text)})
			continue
		}
		for int(w.Number) >= len(r.words) {
			r.words = append(r.words, nil)
		}
		r.words[w.Number] = quote(w.Text)
	}
	for _, b := range d.Flags {
		w := bitsWord{b.Low, 1<<(b.High-b.Low+1) - 1, fmt.Appendf(nil, `,"%s"`, b.Text)}
		if b.Low != b.High {
			w.text[len(w.text)-1] = ':'
		}
		r.bits = append(r.bits, w)
	}
	for _, i := range d.Invalid {
		if !i.Legacy || legacy {
			r.invalid = append(r.invalid, quoted{i.Number, quote(i.Reason)})
		}
	}
	copy(r.short[:], r.key)
	r.quick, r.careful = r.quickly(), r.signed || len(r.invalid) > 0
	r.sameAs = fmt.Sprint(d.Name, d.Unit, d.Type, d.Signed, r.scale, d.Enum, d.Flags, r.invalid)
	return r
}

// value is an element's bytes: a number of size bytes, or with a length of its own.
type value struct {
	number uint64
	bytes  []byte // only of an element with a length of its own, not nil then
	size   int    // of the number in bytes, 1 to 8
}

func fixed(w Width, number uint64) value { return value{number: number, size: w.Size()} }

func variable(bytes []byte) value {
	v := value{bytes: bytes}
	if bytes == nil {
		v.bytes = []byte{}
	}
	if len(bytes) <= 8 {
		v.number, v.size = bigEndian(bytes), len(bytes)
	}
	return v
}

func bigEndian(bytes []byte) (n uint64) {
	for _, b := range bytes {
		n = n<<8 | uint64(b)
	}
	return n
}

// append appends the value as JSON, or says why it is none: fault is a reason in quotes.
func (r *rule) append(dst []byte, v value) (_ []byte, fault []byte) {
	n := v.number
	if r.signed {
		shift := 64 - 8*v.size
		n = uint64(int64(n<<shift) >> shift)
	}
	numeric := v.size > 0
	if len(r.invalid) > 0 && numeric && r.kind != ROM {
		if reason := r.reason(int64(n)); reason != nil {
			return dst, reason
		}
	}
	switch {
	case r.kind == Number && numeric:
		return r.scale.append(dst, n, r.signed), nil
	case r.kind == Bool && numeric:
		return appendBool(dst, n), nil
	case r.kind == Enum && numeric:
		return r.appendWord(dst, n)
	case r.kind == Flags && numeric:
		return r.appendFlags(dst, n), nil
	case r.kind == Epoch && numeric:
		return r.scale.append(dst, n, r.signed), nil
	case r.kind == ROM && v.isZero():
		return dst, notPresent
	}
	return append(r.appendString(append(dst, '"'), v, n, numeric), '"'), nil
}

func (v value) isZero() bool {
	for _, b := range v.bytes {
		if b != 0 {
			return false
		}
	}
	return v.number == 0
}

func appendBool(dst []byte, n uint64) []byte {
	switch n {
	case 0:
		return append(dst, "false"...)
	case 1:
		return append(dst, "true"...)
	}
	return strconv.AppendUint(dst, n, 10)
}

func (r *rule) appendWord(dst []byte, n uint64) (_ []byte, fault []byte) {
	if n < uint64(len(r.words)) && r.words[n] != nil {
		return append(dst, r.words[n]...), nil
	}
	for i := range r.rare {
		if r.rare[i].number == int64(n) {
			return append(dst, r.rare[i].text...), nil
		}
	}
	return dst, unknownCode
}

func (r *rule) appendFlags(dst []byte, n uint64) []byte {
	open := len(dst)
	for i := range r.bits {
		w := &r.bits[i]
		set := n >> w.low & w.mask
		if set == 0 {
			continue
		}
		dst = append(dst, w.text...)
		if w.mask > 1 {
			dst = append(strconv.AppendUint(dst, set, 10), '"')
		}
	}
	if len(dst) == open {
		return append(dst, "[]"...)
	}
	dst[open] = '[' // over the first word's comma
	return append(dst, ']')
}

// appendString appends what is in quotes.
func (r *rule) appendString(dst []byte, v value, n uint64, numeric bool) []byte {
	if r.kind == Decimal && numeric {
		if r.signed {
			return strconv.AppendInt(dst, int64(n), 10)
		}
		return strconv.AppendUint(dst, n, 10)
	}
	var eight [8]byte
	bytes := v.bytes
	if bytes == nil {
		binary.BigEndian.PutUint64(eight[:], v.number)
		bytes = eight[8-v.size:]
	}
	switch r.kind {
	case Text:
		return appendLatin1(dst, trimEnd(bytes, true))
	case ASCII8:
		return appendLatin1(dst, trimEnd(bytes, false))
	case Mirror8:
		return appendMirrored(dst, bytes)
	}
	return hex.AppendEncode(dst, bytes)
}
