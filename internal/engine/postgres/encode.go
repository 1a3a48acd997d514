package postgres

import (
	"bytes"
	"encoding/binary"
)

// OIDs of the types of the arrays' elements.
const (
	oidBigint = 20
	oidText   = 25
)

// maxKeptBytes is the memory that a column keeps for the next batch.
const maxKeptBytes = 8 << 20

// column is an array in PostgreSQL's binary format, one element a row:
//
//	dimensions  has NULLs  type  elements  first index | length  value | …
//	4 bytes     4          4     4         4             4
//
// It is appended by hand, because pgx makes an allocation of each element.
type column struct {
	bytes []byte
	rows  uint32
}

// begin empties the column.
func (c *column) begin(elements uint32) {
	if cap(c.bytes) > maxKeptBytes {
		c.bytes = nil
	}
	c.rows = 0
	c.bytes = binary.BigEndian.AppendUint32(c.bytes[:0], 1)
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, 1)
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, elements)
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, 0) // see value
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, 1)
}

// element begins one of that length.
func (c *column) element(length int) {
	c.rows++
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, uint32(length))
}

func (c *column) addText(s string) {
	c.element(len(s))
	c.bytes = append(c.bytes, s...)
}

func (c *column) addBytes(text []byte) {
	c.element(len(text))
	c.bytes = append(c.bytes, text...)
}

// addDocument is a JSON document as jsonb takes it.
func (c *column) addDocument(text []byte) {
	c.element(0)
	begin := len(c.bytes)
	c.bytes = appendDocument(c.bytes, text)
	binary.BigEndian.PutUint32(c.bytes[begin-4:], uint32(len(c.bytes)-begin))
}

// escapedNUL is what no text of PostgreSQL's can have.
var escapedNUL = []byte(`\u0000`)

// appendDocument appends a JSON document with U+FFFD in place of each NUL.
func appendDocument(dst, text []byte) []byte {
	for {
		at := bytes.Index(text, escapedNUL)
		if at < 0 {
			return append(dst, text...)
		}
		backslashes := 1
		for backslashes <= at && text[at-backslashes] == '\\' {
			backslashes++
		}
		dst = append(dst, text[:at]...)
		if backslashes%2 == 1 {
			dst = append(dst, `\ufffd`...)
		} else { // the first is the second half of an escaped backslash
			dst = append(dst, escapedNUL...)
		}
		text = text[at+len(escapedNUL):]
	}
}

// addHex is the text of the bytes in hex.
func (c *column) addHex(b []byte) {
	const digits = "0123456789abcdef"
	c.element(2 * len(b))
	for _, one := range b {
		c.bytes = append(c.bytes, digits[one>>4], digits[one&15])
	}
}

func (c *column) addBigint(n int64) {
	c.element(8)
	c.bytes = binary.BigEndian.AppendUint64(c.bytes, uint64(n))
}

func (c *column) addNull() {
	c.rows++
	c.bytes = binary.BigEndian.AppendUint32(c.bytes, ^uint32(0))
}

// value is the whole array.
func (c *column) value() []byte {
	binary.BigEndian.PutUint32(c.bytes[12:], c.rows)
	return c.bytes
}

// columns are the arrays of one statement.
type columns struct {
	of     []column
	values [][]byte
}

func (c *columns) begin(types ...uint32) []column {
	if c.of == nil {
		c.of, c.values = make([]column, len(types)), make([][]byte, len(types))
	}
	for i, t := range types {
		c.of[i].begin(t)
	}
	return c.of
}

// parameters are the statement's, all in binary.
func (c *columns) parameters() [][]byte {
	for i := range c.of {
		c.values[i] = c.of[i].value()
	}
	return c.values
}
