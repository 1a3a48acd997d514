package teltonika

import "encoding/binary"

// CRC is the checksum of the data field, CRC-16/ARC ("IBM"): polynomial x^16+x^15+x^2+1, bits reflected,
// initial value 0, no final xor (vendor's page, "CRC-16"). The CRC of "123456789" is 0xBB3D.
func CRC(data []byte) uint16 {
	var crc uint16
	if len(data) >= foldMin {
		crc, data = crcFold(data)
	}
	return crcTable(crc, data)
}

// foldMin is the number of bytes from which folding is faster than the table alone (BenchmarkCRC).
const foldMin = 256

// crcFold returns the CRC of as much of data as is whole 64-bit words, and the up to 7 bytes after them. data
// has 256 bytes or more.
//
// It spends four xors on a word instead of a table look-up on each byte. The CRC is the remainder of the
// message, a polynomial over GF(2), divided by P(x) = x^16+x^15+x^2+1. Squaring over GF(2) doubles every
// exponent and makes no cross terms, so six squarings give
//
//	P(x)^64 = P(x^64) = X^16 + X^15 + X^2 + 1  with X = x^64.
//
// P divides P^64, so a message and its remainder by P^64 leave the same remainder by P. Dividing by P(X) is
// plain long division in which every digit is a 64-bit word: the quotient of the message m is
//
//	q[i] = m[i] ^ q[i-1] ^ q[i-14] ^ q[i-16]
//
// and its remainder is 16 words. Five squarings give the same division with digits of 32 bits, which makes 16
// digits of 32 bits out of those, and the table finishes. CRC-16/ARC is reflected: the first bit of the message
// is the lowest one of its first byte, so words are read in little-endian order.
func crcFold(data []byte) (crc uint16, rest []byte) {
	// q[i mod 16] is the quotient's digit i; q[i-16] lies where the new digit goes, q[i-14] two further on. Only
	// the digit before, last, has to be waited for: with the others xored first, a word costs one xor of latency.
	var q [16]uint64
	last := uint64(0)
	words := len(data) / 8
	for ; words >= 32; words -= 16 {
		b := data[:128]
		last ^= binary.LittleEndian.Uint64(b[0:]) ^ q[0] ^ q[2]
		q[0] = last
		last ^= binary.LittleEndian.Uint64(b[8:]) ^ q[1] ^ q[3]
		q[1] = last
		last ^= binary.LittleEndian.Uint64(b[16:]) ^ q[2] ^ q[4]
		q[2] = last
		last ^= binary.LittleEndian.Uint64(b[24:]) ^ q[3] ^ q[5]
		q[3] = last
		last ^= binary.LittleEndian.Uint64(b[32:]) ^ q[4] ^ q[6]
		q[4] = last
		last ^= binary.LittleEndian.Uint64(b[40:]) ^ q[5] ^ q[7]
		q[5] = last
		last ^= binary.LittleEndian.Uint64(b[48:]) ^ q[6] ^ q[8]
		q[6] = last
		last ^= binary.LittleEndian.Uint64(b[56:]) ^ q[7] ^ q[9]
		q[7] = last
		last ^= binary.LittleEndian.Uint64(b[64:]) ^ q[8] ^ q[10]
		q[8] = last
		last ^= binary.LittleEndian.Uint64(b[72:]) ^ q[9] ^ q[11]
		q[9] = last
		last ^= binary.LittleEndian.Uint64(b[80:]) ^ q[10] ^ q[12]
		q[10] = last
		last ^= binary.LittleEndian.Uint64(b[88:]) ^ q[11] ^ q[13]
		q[11] = last
		last ^= binary.LittleEndian.Uint64(b[96:]) ^ q[12] ^ q[14]
		q[12] = last
		last ^= binary.LittleEndian.Uint64(b[104:]) ^ q[13] ^ q[15]
		q[13] = last
		last ^= binary.LittleEndian.Uint64(b[112:]) ^ q[14] ^ q[0]
		q[14] = last
		last ^= binary.LittleEndian.Uint64(b[120:]) ^ q[15] ^ q[1]
		q[15] = last
		data = data[128:]
	}

	// What the quotient leaves of the next 16 words, and the 0 to 15 words after them.
	var w [31]uint64
	for i := range words {
		w[i] = binary.LittleEndian.Uint64(data[8*i:])
	}
	w[0] ^= last
	for i := range 16 {
		w[i] ^= q[i]
		if i < 14 {
			w[i] ^= q[i+2]
		}
	}
	remainder := divideWords(&w, words)
	return crcTable(0, remainder[:]), data[8*words:]
}

// divideWords divides the polynomial in w[:words], 16 to 31 words, by P(x)^64 and the remainder by P(x)^32. It
// returns that remainder as bytes.
func divideWords(w *[31]uint64, words int) (remainder [64]byte) {
	for i := range words - 16 {
		d := w[i]
		w[i+1] ^= d
		w[i+14] ^= d
		w[i+16] ^= d
	}
	var h [32]uint32
	for i := range 16 {
		v := w[words-16+i]
		h[2*i], h[2*i+1] = uint32(v), uint32(v>>32)
	}
	d := uint32(0)
	for i := range 16 {
		d ^= h[i]
		h[i+14] ^= d
		h[i+16] ^= d
	}
	h[16] ^= d
	for i := range 16 {
		binary.LittleEndian.PutUint32(remainder[4*i:], h[16+i])
	}
	return remainder
}

// crcTables[k][b] is the CRC of byte b followed by k zero bytes.
var crcTables = makeCRCTables()

func makeCRCTables() *[16][256]uint16 {
	const reflected = 0xA001 // x^15+x^2+1, the lowest exponent in the highest bit
	var t [16][256]uint16
	for b := range 256 {
		crc := uint16(b)
		for range 8 {
			crc = crc>>1 ^ crc&1*reflected
		}
		t[0][b] = crc
	}
	for k := 1; k < 16; k++ {
		for b := range 256 {
			crc := t[k-1][b]
			t[k][b] = crc>>8 ^ t[0][byte(crc)]
		}
	}
	return &t
}

// crcTable goes on from crc over data, 16 bytes at a time: one table for each position ("slicing by 16").
func crcTable(crc uint16, data []byte) uint16 {
	t := crcTables
	for ; len(data) >= 16; data = data[16:] {
		b := data[:16]
		crc = t[15][b[0]^byte(crc)] ^ t[14][b[1]^byte(crc>>8)] ^ t[13][b[2]] ^ t[12][b[3]] ^
			t[11][b[4]] ^ t[10][b[5]] ^ t[9][b[6]] ^ t[8][b[7]] ^
			t[7][b[8]] ^ t[6][b[9]] ^ t[5][b[10]] ^ t[4][b[11]] ^
			t[3][b[12]] ^ t[2][b[13]] ^ t[1][b[14]] ^ t[0][b[15]]
	}
	for _, b := range data {
		crc = crc>>8 ^ t[0][byte(crc)^b]
	}
	return crc
}
