package teltonika

import (
	"encoding/binary"
	"fmt"
)

// Message types. Other values occur on serial links and are kept.
const (
	TypeCommand  = 0x05 // server to device
	TypeResponse = 0x06 // device to server
	TypeCamera   = 0x0D // Codec 12: the old serial camera
	TypeNack     = 0x11 // Codec 14: the IMEI is not the device's own, nothing was executed
)

// Messages is the data field of a frame of Codec 12, 13, 14 or 15: commands, their answers, and data from a serial
// port. It is meant to be reused, as [AVLData] is: Decode overwrites it, and the payloads refer to the decoded bytes.
//
//	 0        1          2      3          7                           7+size
//	+--------+----------+------+----------+---------------------------+----------+
//	| codec  | quantity | type | size u32 | timestamp, IMEI, payload  | quantity |
//	| id     | 1        |      |          |                           | 2        |
//	+--------+----------+------+----------+---------------------------+----------+
//	                    |<------------ each message ----------------->|
//
// Codec 13 and 15 have the timestamp (u32), Codec 14 and 15 the IMEI (8 bytes BCD), and the size counts both
// (vendor's page, "Codec 12" to "Codec 15").
type Messages struct {
	Codec    Codec
	Quantity int // quantity 1, as AVLData.Count; real devices get it wrong: the messages are counted as they stand
	Messages []Message
}

// Message is one command, answer or piece of serial data.
type Message struct {
	Type      byte
	Size      uint32 // the size field as sent; real devices leave out the timestamp and IMEI at times
	Timestamp uint32 // s since 1970 UTC, Codec 13 and 15 only
	IMEI      string // Codec 14 and 15 only
	Payload   []byte // text in practice, sometimes with CR LF or NUL behind it, or binary
}

// HasTimestamp reports whether the codec's messages say when they were sent, by the device's clock.
func (c Codec) HasTimestamp() bool { return c == Codec13 || c == Codec15 }

func (c Codec) hasIMEI() bool { return c == Codec14 || c == Codec15 }

// prefixSize is the number of bytes between the size field and the payload.
func (c Codec) prefixSize() int {
	n := 0
	if c.HasTimestamp() {
		n += 4
	}
	if c.hasIMEI() {
		n += 8
	}
	return n
}

// Decode reads a data field, codec id to quantity 2, of a codec for which [Codec.IsMessage] holds. Offsets in errors
// count from the codec id. After an error the Messages are of no use.
//
// Quantity 1 is not trusted, because devices send quantity 2 with one message, but where it is not 0 there must be a
// message, and quantity 2 must equal it. A size field that leaves out the timestamp and IMEI is accepted where it makes
// the message fill the frame.
func (m *Messages) Decode(body []byte) error {
	clear(m.Messages) // they must not keep the packet before alive
	*m = Messages{Messages: m.Messages[:0]}
	if len(body) > 0 {
		m.Codec = Codec(body[0])
	}
	if len(body) > 1 {
		m.Quantity = int(body[1])
	}
	if len(body) < MinLength {
		return fail(ErrOverrun, "data field", 0, "%d bytes, expected %d or more", len(body), MinLength)
	}
	if !m.Codec.IsMessage() {
		return fail(ErrUnknownCodec, "codec id", 0, "%v is not a message codec", m.Codec)
	}
	last := len(body) - 1
	w := walker{data: body[:last], p: 2}
	if err := w.messages(m); err != nil {
		err.Field = messageField(len(m.Messages), err.Field)
		return err
	}
	if m.Quantity > 0 && len(m.Messages) == 0 {
		return fail(ErrOverrun, messageField(0, "type and size"), last, "5 bytes long, 0 are left")
	}
	if q2 := int(body[last]); q2 != m.Quantity {
		return fail(ErrCount, "quantity 2", last, "%d, quantity 1 is %d", q2, m.Quantity)
	}
	return nil
}

// messages reads what is left into m, of which codec and quantity are known.
func (w *walker) messages(m *Messages) *Error {
	for w.p < len(w.data) {
		w.record++
		msg, err := w.message(m.Codec, m.Quantity == 1)
		if err != nil {
			return err
		}
		m.Messages = append(m.Messages, msg)
	}
	return nil
}

func (w *walker) message(codec Codec, alone bool) (m Message, err *Error) {
	b := w.take("type and size", 5)
	if w.stopped {
		return m, fail(ErrOverrun, "type and size", w.p, "5 bytes long, %d are left", len(w.data)-w.p)
	}
	m.Type, m.Size = b[0], binary.BigEndian.Uint32(b[1:])
	left, size, prefix := w.data[w.p:], int64(m.Size), int64(codec.prefixSize())
	if alone && int64(len(left)) == size+prefix {
		size += prefix
	}
	switch {
	case size > int64(len(left)):
		w.stop("message", int(size), left)
		return m, fail(ErrOverrun, "size", w.p-4, "%d bytes, %d are left", size, len(left))
	case size < prefix:
		w.stop("message", int(prefix), left[:size])
		return m, fail(ErrOverrun, "size", w.p-4, "%d bytes, timestamp and IMEI take %d", size, prefix)
	}
	if codec.HasTimestamp() {
		m.Timestamp = binary.BigEndian.Uint32(w.take("timestamp", 4))
	}
	if codec.hasIMEI() {
		m.IMEI = decodeBCD(w.take("IMEI", 8))
	}
	m.Payload = w.take("payload", int(size-prefix))
	return m, nil
}

// AppendFrame appends the whole TCP frame of the messages. What the codec cannot express is an error that matches
// ErrEncode, and dst is returned as it was. Quantities and sizes are written as they should be, whatever Quantity and
// Message.Size say.
func (m *Messages) AppendFrame(dst []byte) ([]byte, error) {
	framed := appendHeader(dst)
	start := len(framed)
	framed, err := m.AppendBody(framed)
	if err != nil {
		return dst, err
	}
	return closeFrame(framed, start), nil
}

// AppendBody appends the data field, codec id to quantity 2. Errors are those of AppendFrame.
func (m *Messages) AppendBody(dst []byte) ([]byte, error) {
	if !m.Codec.IsMessage() {
		return dst, unencodable("codec id", "%v is not a message codec", m.Codec)
	}
	if len(m.Messages) > MaxRecords {
		return dst, unencodable("quantity 1", "%d messages, at most %d fit", len(m.Messages), MaxRecords)
	}
	n := byte(len(m.Messages))
	body := append(dst, byte(m.Codec), n)
	for i := range m.Messages {
		var err *Error
		if body, err = m.Messages[i].append(body, m.Codec); err != nil {
			err.Field = messageField(i, err.Field)
			return dst, err
		}
	}
	return append(body, n), nil
}

func (m *Message) append(dst []byte, codec Codec) ([]byte, *Error) {
	dst = append(dst, m.Type)
	dst = binary.BigEndian.AppendUint32(dst, uint32(codec.prefixSize()+len(m.Payload)))
	if codec.HasTimestamp() {
		dst = binary.BigEndian.AppendUint32(dst, m.Timestamp)
	}
	if codec.hasIMEI() {
		bcd, err := encodeBCD(m.IMEI)
		if err != nil {
			return dst, err
		}
		dst = append(dst, bcd[:]...)
	}
	return append(dst, m.Payload...), nil
}

// decodeBCD reads 16 digits, two a byte; an IMEI of 15 has a zero before it. Nibbles above 9 become hex
// letters, because some devices fill with F.
func decodeBCD(b []byte) string {
	s := fmt.Sprintf("%x", b)
	if s[0] == '0' {
		return s[1:]
	}
	return s
}

func encodeBCD(imei string) (bcd [8]byte, err *Error) {
	if len(imei) != 15 && len(imei) != 16 {
		return bcd, unencodable("IMEI", "%d digits, expected 15 or 16", len(imei))
	}
	for i := range len(imei) {
		c := imei[i]
		if c < '0' || c > '9' {
			return bcd, unencodable("IMEI", "character %q is not a digit", c)
		}
		nibble := 16 - len(imei) + i
		bcd[nibble/2] |= (c - '0') << (4 * (1 - nibble%2))
	}
	return bcd, nil
}

func messageField(i int, field string) string { return fmt.Sprintf("message %d %s", i+1, field) }
