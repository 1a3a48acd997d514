package record

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Numbers are written by whole words of eight bytes, the first byte of the text lowest. A store may run up to seven
// bytes past the end of its text, within the capacity: what is appended next overwrites them.

// word is the text of eight bytes.
func word(text string) uint64 { return binary.LittleEndian.Uint64([]byte(text)) }

// token is a text of up to seven bytes with its length in the highest byte: one load and one store.
type token uint64

func newToken(text string) token {
	var b [8]byte
	b[7] = byte(copy(b[:7], text))
	return token(binary.LittleEndian.Uint64(b[:]))
}

func (t token) append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(t))[:len(dst)+int(t>>56)]
}

// small[n] is n in decimal.
var small = makeSmall()

func makeSmall() (t [1000]token) {
	for n := range t {
		t[n] = newToken(strconv.Itoa(n))
	}
	return t
}

// appendByte appends 0 to 255.
func appendByte(dst []byte, n byte) []byte { return small[n].append(dst) }

// appendUint appends a decimal number. Most are small.
func appendUint(dst []byte, n uint64) []byte {
	if n < uint64(len(small)) {
		return small[n].append(dst)
	}
	return appendLong(dst, n)
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendUint(append(dst, '-'), uint64(-n))
	}
	return appendUint(dst, uint64(n))
}

// appendLong appends any number but 0.
func appendLong(dst []byte, n uint64) []byte {
	if n < 1e8 {
		return appendTrimmed8(dst, uint32(n))
	}
	high, low := n/1e8, digits8(uint32(n%1e8))+zeros
	if high < 1e8 {
		return binary.LittleEndian.AppendUint64(appendTrimmed8(dst, uint32(high)), low)
	}
	middle := digits8(uint32(high%1e8)) + zeros
	dst = appendTrimmed8(dst, uint32(high/1e8)) // 1 to 1844
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, middle), low)
}

// appendTrimmed8 appends 0 < n < 100,000,000.
func appendTrimmed8(dst []byte, n uint32) []byte {
	digits := digits8(n)
	leading := bits.TrailingZeros64(digits) & 56 // bits of zeros
	return binary.LittleEndian.AppendUint64(dst, (digits+zeros)>>leading)[:len(dst)+8-leading/8]
}

// zeros makes text of eight digits.
const zeros = 0x3030303030303030

// digits8 is the eight decimal digits of n < 100,000,000, one in each byte, the first in the lowest. It divides in
// the lanes of one word side by side: into halves, into pairs, into digits. A multiplication and a shift stand
// for the division of a lane: 5243*x>>19 is x/100 for x < 10,000, and 103*x>>10 is x/10 for x < 100.
func digits8(n uint32) uint64 {
	x := uint64(n/10000) | uint64(n%10000)<<32
	q := x * 5243 >> 19 & 0x0000007f_0000007f
	x = q | (x-100*q)<<16
	q = x * 103 >> 10 & 0x000f_000f_000f_000f
	return q | (x-10*q)<<8
}

// pointZeros makes text of a fraction of seven digits.
var pointZeros = word(".0000000")

// appendDegrees appends n × 1e-7 exactly, without trailing zeros.
func appendDegrees(dst []byte, n int32) []byte {
	const degree = 10_000_000
	v := uint32(n)
	if n < 0 {
		dst = append(dst, '-')
		v = -v
	}
	dst = small[v/degree].append(dst) // 0 to 214
	digits := digits8(v % degree)     // the first is 0
	if digits == 0 {
		return dst
	}
	trailing := bits.LeadingZeros64(digits) / 8 // zeros
	return binary.LittleEndian.AppendUint64(dst, digits+pointZeros)[:len(dst)+8-trailing]
}

// appendHex16 appends 16 lower-case hex digits.
func appendHex16(dst []byte, n uint64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, hex8(uint32(n>>32)))
	return binary.BigEndian.AppendUint64(dst, hex8(uint32(n)))
}

// hex8 is n as eight lower-case hex digits, the first in the highest byte. It spreads the digits over the bytes of
// the word, then makes text of all at once.
func hex8(n uint32) uint64 {
	x := uint64(n)
	x = (x | x<<16) & 0x0000ffff_0000ffff
	x = (x | x<<8) & 0x00ff_00ff_00ff_00ff
	x = (x | x<<4) & 0x0f0f0f0f_0f0f0f0f
	letters := (x + 0x0606060606060606) >> 4 & 0x0101010101010101 // 1 for a digit of 10 or more
	return x + zeros + letters*('a'-'0'-10)
}
