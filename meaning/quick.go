package meaning

import (
	"encoding/binary"
	"strconv"
)

// Most elements are small numbers, switches and states, on whose meaning all agree. Their texts are made by whole words
// of eight bytes: a store may run up to seven bytes past the end of its text, within the capacity, and what is appended
// next overwrites them.

// token is a text of up to seven bytes with its length in the highest byte.
type token uint64

func newToken(text string) token {
	var b [8]byte
	b[7] = byte(copy(b[:7], text))
	return token(binary.LittleEndian.Uint64(b[:]))
}

func (t token) append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(t))[:len(dst)+int(t>>56)]
}

// wholes[n] is n, and fractions[n] is n thousandths without zeros at the end: ".044" and so on.
var wholes, fractions = makeTokens()

func makeTokens() (whole, fraction [1000]token) {
	for n := range whole {
		whole[n] = newToken(strconv.Itoa(n))
		fraction[n] = newToken(string(appendFraction(nil, uint64(n), 3)))
	}
	return whole, fraction
}

var bitTokens = [2]token{newToken("false"), newToken("true")}

// quick says how a rule's values can be made in few steps.
type quick uint8

const (
	slow     quick = iota
	quick0         // a number without decimals
	quick1         // tenths, and so on
	quick2         //
	quick3         //
	quickBit       // false or true
	quickWord
)

// quickly is how the rule decodes a number of up to four bytes.
func (r *rule) quickly() quick {
	switch {
	case r.definition.Width > Width4:
		return slow
	case (r.kind == Number || r.kind == Epoch) && r.scale.multiplier == 1 && r.scale.offset == 0 && r.scale.decimals <= 3:
		return quick0 + quick(r.scale.decimals)
	case r.kind == Bool:
		return quickBit
	case r.kind == Enum && !r.signed:
		return quickWord
	}
	return slow
}

// shortKey is how much of a key is copied by words, whatever its length. Most keys are shorter.
const shortKey = 48

// appendKey appends the key.
func (r *rule) appendKey(dst []byte) []byte {
	n := len(dst)
	if len(r.key) > shortKey || cap(dst)-n < shortKey {
		return append(dst, r.key...)
	}
	*(*[shortKey]byte)(dst[n : n+shortKey]) = r.short
	return dst[:n+len(r.key)]
}

// appendQuick appends the member of a number for which the rule is quick, or its fault to faults. Of what it cannot
// append it is not done.
func (r *rule) appendQuick(dst []byte, faults *[]byte, number uint64, w Width) (_ []byte, done bool) {
	if r.careful {
		if r.signed {
			shift := 64 - 8<<w
			number = uint64(int64(number<<shift) >> shift)
		}
		if reason := r.reason(int64(number)); reason != nil {
			*faults = append(append(*faults, r.key...), reason...)
			return dst, true
		}
	}
	switch r.quick {
	case quickBit:
		if number <= 1 {
			return bitTokens[number].append(r.appendKey(dst)), true
		}
		return dst, false
	case quickWord:
		if number < uint64(len(r.words)) && r.words[number] != nil {
			return append(r.appendKey(dst), r.words[number]...), true
		}
		return dst, false
	}
	dst = r.appendKey(dst)
	if r.quick == quick0 && number < 1000 {
		return wholes[number].append(dst), true
	}
	if int64(number) < 0 {
		dst = append(dst, '-')
		number = -number
	}
	return appendDecimal(dst, number, r.quick), true
}

// reason is why a number is no reading, nil if it is one.
func (r *rule) reason(number int64) []byte {
	for i := range r.invalid {
		if r.invalid[i].number == number {
			return r.invalid[i].text
		}
	}
	return nil
}

// appendDecimal appends a number of four bytes with up to three decimals.
func appendDecimal(dst []byte, n uint64, decimals quick) []byte {
	var fraction uint64
	switch decimals {
	case quick1:
		n, fraction = n/10, n%10*100
	case quick2:
		n, fraction = n/100, n%100*10
	case quick3:
		n, fraction = n/1000, n%1000
	}
	switch {
	case n < 1000:
		dst = wholes[n].append(dst)
	case n < 1_000_000:
		dst = wholes[n/1000].append(dst)
		rest := n % 1000
		dst = append(dst, '0'+byte(rest/100), '0'+byte(rest/10%10), '0'+byte(rest%10))
	default:
		dst = strconv.AppendUint(dst, n, 10)
	}
	if fraction == 0 {
		return dst
	}
	return fractions[fraction].append(dst)
}
