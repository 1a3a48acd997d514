package postgres

import "encoding/binary"

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
