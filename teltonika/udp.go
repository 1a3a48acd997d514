package teltonika

import "encoding/binary"

// Datagram is one UDP channel packet from a device:
//
//	 0        2           4      5        6          8           8+n
//	+--------+-----------+------+--------+----------+-----------+---------------------+
//	| length | packet id | type | AVL    | n, IMEI  | IMEI      | codec id ... number |
//	| u16    | u16       |      | packet | length   | ASCII,    | of data 2           |
//	|        |           |      | id     | u16      | n bytes   |                     |
//	+--------+-----------+------+--------+----------+-----------+---------------------+
//
// The body is that of a TCP frame, without preamble, data field length and CRC (vendor's page, "Codec 8", the part
// on UDP). There is no login: the IMEI is only what the sender claims.
type Datagram struct {
	Length      uint16 // as sent; wrong in the wild, so the datagram's own size decides: see ParseDatagram
	PacketID    uint16 // the device's, echoed in the answer; CAFE is usual
	Type        byte   // "not usable" by the vendor's word; 1 in practice
	AVLPacketID byte   // the device's counter, echoed in the answer
	IMEI        string
	Body        []byte // codec id to number of data 2
}

// udpHeaderSize is the number of bytes before the IMEI.
const udpHeaderSize = 8

// AnswerSize is the size of the answer to a datagram in bytes.
const AnswerSize = 7

// ParseDatagram reads a UDP channel packet. Body refers to b and is not decoded.
//
// The body ends where the datagram does, whatever the length field says. There is one exception: some devices send the
// rest of their buffer too. When the length field leaves nothing but zeros behind the body, the body ends there. No
// body is cut short by that: one whose last byte, number of data 2, is zero holds no records.
func ParseDatagram(b []byte) (Datagram, error) {
	if len(b) < udpHeaderSize {
		return Datagram{}, fail(ErrIncomplete, "UDP header", 0, "%d of %d bytes", len(b), udpHeaderSize)
	}
	d := Datagram{
		Length:      binary.BigEndian.Uint16(b),
		PacketID:    binary.BigEndian.Uint16(b[2:]),
		Type:        b[4],
		AVLPacketID: b[5],
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	if n < 1 || n > MaxLoginLength {
		return d, fail(ErrLogin, "IMEI length", 6, "%d, expected 1 to %d", n, MaxLoginLength)
	}
	if len(b) < udpHeaderSize+n {
		return d, fail(ErrIncomplete, "IMEI", udpHeaderSize, "%d of %d bytes", len(b)-udpHeaderSize, n)
	}
	imei := b[udpHeaderSize : udpHeaderSize+n]
	if i := invalidByte(imei); i >= 0 {
		return d, fail(ErrLogin, "IMEI", udpHeaderSize+i, "byte 0x%02x is neither an ASCII letter nor a digit", imei[i])
	}
	d.IMEI = string(imei)
	d.Body = d.withoutPadding(b[udpHeaderSize+n:])
	if len(d.Body) < MinLength {
		return d, fail(ErrIncomplete, "data field", udpHeaderSize+n, "%d bytes, expected %d or more", len(d.Body), MinLength)
	}
	return d, nil
}

// withoutPadding cuts the zeros off that lie behind the body by the length field.
func (d Datagram) withoutPadding(body []byte) []byte {
	end := int(d.Length) - (udpHeaderSize - 2 + len(d.IMEI))
	if end < MinLength || end >= len(body) {
		return body
	}
	for _, c := range body[end:] {
		if c != 0 {
			return body
		}
	}
	return body[:end:end]
}

// BodyOffset is where Body begins in the datagram, in bytes.
func (d Datagram) BodyOffset() int { return udpHeaderSize + len(d.IMEI) }

// LengthOK reports whether the length field is right.
func (d Datagram) LengthOK() bool {
	return int(d.Length) == udpHeaderSize-2+len(d.IMEI)+len(d.Body)
}

// AppendAnswer appends the answer that says that the server took accepted records (0 to 255):
// `0005 | packet id | 01 | AVL packet id | accepted`.
func (d Datagram) AppendAnswer(dst []byte, accepted int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, AnswerSize-2)
	dst = binary.BigEndian.AppendUint16(dst, d.PacketID)
	return append(dst, 1, d.AVLPacketID, byte(accepted))
}

// Append appends the datagram with a right length field, whatever Length says.
func (d Datagram) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	framed := append(dst, 0, 0)
	framed = binary.BigEndian.AppendUint16(framed, d.PacketID)
	framed = append(framed, d.Type, d.AVLPacketID)
	framed, err := AppendLogin(framed, d.IMEI)
	if err != nil {
		return dst, err
	}
	framed = append(framed, d.Body...)
	size := len(framed) - start - 2
	if size > 0xFFFF {
		return dst, unencodable("length", "%d bytes, at most %d fit", size, 0xFFFF)
	}
	binary.BigEndian.PutUint16(framed[start:], uint16(size))
	return framed, nil
}

// Answer is the server's answer to a datagram.
type Answer struct {
	PacketID    uint16
	AVLPacketID byte
	Accepted    int // records
}

// ParseAnswer reads the answer to a datagram, AnswerSize bytes.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) < AnswerSize {
		return Answer{}, fail(ErrIncomplete, "UDP answer", 0, "%d of %d bytes", len(b), AnswerSize)
	}
	if len(b) > AnswerSize {
		return Answer{}, fail(ErrTrailing, "UDP answer", AnswerSize, "%d bytes after it", len(b)-AnswerSize)
	}
	if n := binary.BigEndian.Uint16(b); n != AnswerSize-2 {
		return Answer{}, fail(ErrLength, "length", 0, "%d, expected %d", n, AnswerSize-2)
	}
	return Answer{PacketID: binary.BigEndian.Uint16(b[2:]), AVLPacketID: b[5], Accepted: int(b[6])}, nil
}
