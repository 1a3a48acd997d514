package teltonika

import "encoding/binary"

// Sizes of the TCP frame's parts, in bytes.
const (
	HeaderSize  = 8 // preamble and data field length
	TrailerSize = 4 // CRC field
	MinLength   = 3 // the shortest data field: codec id, number of data 1 and 2
)

// Frame is one whole TCP frame (vendor's page, "Codec 8", the part on TCP):
//
//	 0          4             8                                 8+L           12+L
//	+----------+-------------+---------+---------+------+------+-------------+
//	| 00000000 | L, length   | codec   | number  | data | num. | 0000, CRC16 |
//	| preamble | of the data | id      | of      | ...  | of   | of the data |
//	|          | field       |         | data 1  |      | d. 2 | field       |
//	+----------+-------------+---------+---------+------+------+-------------+
//	                         |<------- data field, L bytes --->|
//
// The methods take for granted what [ParseFrame] returns or [ParseHeader] has measured.
type Frame []byte

// ParseHeader reads the first HeaderSize bytes of a frame and returns the size of the whole frame in
// bytes. The data field length must be MinLength to maxLength. Devices put at most 1,280 bytes of records into a
// packet, but pictures and serial data in Codec 12 take more than 2,000: 65,536 is a limit that hurts nobody.
func ParseHeader(header []byte, maxLength int) (int, error) {
	if len(header) < HeaderSize {
		return 0, fail(ErrIncomplete, "frame header", 0, "%d of %d bytes", len(header), HeaderSize)
	}
	if preamble := binary.BigEndian.Uint32(header); preamble != 0 {
		return 0, fail(ErrPreamble, "preamble", 0, "%08x, expected 00000000", preamble)
	}
	length := binary.BigEndian.Uint32(header[4:])
	if length < MinLength || int64(length) > int64(maxLength) {
		return 0, fail(ErrLength, "data field length", 4, "%d, expected %d to %d", length, MinLength, maxLength)
	}
	return HeaderSize + int(length) + TrailerSize, nil
}

// ParseFrame cuts one frame from the start of b and returns it and the bytes after it. The CRC is not
// verified.
func ParseFrame(b []byte, maxLength int) (frame Frame, rest []byte, err error) {
	size, err := ParseHeader(b, maxLength)
	if err != nil {
		return nil, b, err
	}
	if len(b) < size {
		return nil, b, fail(ErrIncomplete, "data field", HeaderSize, "%d of the frame's %d bytes", len(b), size)
	}
	return Frame(b[:size:size]), b[size:], nil
}

// Body is the data field: codec id to number of data 2.
func (f Frame) Body() []byte {
	end := len(f) - TrailerSize
	return f[HeaderSize:end:end]
}

// Codec is the codec id.
func (f Frame) Codec() Codec { return Codec(f[HeaderSize]) }

// Count is number of data 1: how many records or messages the frame says it holds.
func (f Frame) Count() int { return int(f[HeaderSize+1]) }

// Verify compares the CRC field with the CRC of the data field. A field with a non-zero upper half is
// wrong: only a reader that has lost the frame boundaries sees one.
func (f Frame) Verify() error {
	field := binary.BigEndian.Uint32(f[len(f)-TrailerSize:])
	if crc := CRC(f.Body()); field != uint32(crc) {
		return fail(ErrCRC, "CRC", len(f)-TrailerSize, "field is %08x, the data's CRC is %08x", field, crc)
	}
	return nil
}

// AppendAck appends the answer to a frame: how many records were taken, 4 bytes.
func AppendAck(dst []byte, records int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(records))
}

// AppendFrame appends a frame around a data field (codec id to number of data 2).
func AppendFrame(dst, body []byte) []byte {
	dst = appendHeader(dst)
	start := len(dst)
	return closeFrame(append(dst, body...), start)
}

// appendHeader starts a frame whose data field is appended next; closeFrame fills in the length.
func appendHeader(dst []byte) []byte {
	return append(dst, make([]byte, HeaderSize)...)
}

// closeFrame ends the frame whose data field begins at start: it writes its length and appends the CRC.
func closeFrame(dst []byte, start int) []byte {
	body := dst[start:]
	binary.BigEndian.PutUint32(dst[start-4:], uint32(len(body)))
	return binary.BigEndian.AppendUint32(dst, uint32(CRC(body)))
}
