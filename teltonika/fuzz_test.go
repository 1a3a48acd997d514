package teltonika

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Every fuzz target is seeded with the vectors that it can read.

func seed(f *testing.F, choose func(vector) bool, part func(vector) []byte) {
	f.Helper()
	n := 0
	for _, v := range vectors(f) {
		if choose(v) {
			f.Add(part(v))
			n++
		}
	}
	if n == 0 {
		f.Fatal("no seeds")
	}
}

func FuzzFrame(f *testing.F) {
	seed(f, func(v vector) bool { return v.Transport != "udp" }, func(v vector) []byte { return v.bytes(f) })
	f.Fuzz(func(t *testing.T, stream []byte) {
		var data AVLData
		for {
			frame, rest, err := ParseFrame(stream, testMaxLength)
			if err != nil {
				checkDecodeError(t, "ParseFrame", err, stream)
				return
			}
			if len(frame)+len(rest) != len(stream) || len(frame.Body())+HeaderSize+TrailerSize != len(frame) {
				t.Fatalf("%d bytes: frame %d, body %d, rest %d", len(stream), len(frame), len(frame.Body()), len(rest))
			}
			if cap(frame) != len(frame) || cap(frame.Body()) != len(frame.Body()) {
				t.Fatalf("frame of %d bytes or its body can be appended to", len(frame))
			}
			if err := frame.Verify(); err != nil {
				checkDecodeError(t, "Verify", err, frame)
			} else if again := AppendFrame(nil, frame.Body()); !bytes.Equal(again, frame) {
				t.Fatalf("framed again: %x", again)
			}
			if frame.Codec().IsMessage() {
				fuzzMessages(t, frame.Body())
			} else {
				fuzzAVL(t, frame.Body(), &data)
			}
			stream = rest
		}
	})
}

func FuzzCodec7(f *testing.F)  { fuzzCodec(f, Codec7) }
func FuzzCodec8(f *testing.F)  { fuzzCodec(f, Codec8) }
func FuzzCodec8E(f *testing.F) { fuzzCodec(f, Codec8E) }
func FuzzCodec16(f *testing.F) { fuzzCodec(f, Codec16) }

// fuzzCodec fuzzes the data field behind the codec id.
func fuzzCodec(f *testing.F, codec Codec) {
	seed(f, func(v vector) bool { return v.isAVL() && v.Codec == codec.String() },
		func(v vector) []byte { return v.body(f)[1:] })
	f.Fuzz(func(t *testing.T, b []byte) {
		var data AVLData
		fuzzAVL(t, append([]byte{byte(codec)}, b...), &data)
	})
}

// fuzzAVL decodes a data field. If it is good, its records account for every byte, and encoding gives it back.
func fuzzAVL(t *testing.T, body []byte, data *AVLData) {
	err := data.Decode(body)
	checkTrace(t, body, err)
	if err != nil {
		checkDecodeError(t, "Decode", err, body)
		return
	}
	if data.Count != len(data.Records) || data.Count != int(body[1]) {
		t.Fatalf("count %d, %d records", data.Count, len(data.Records))
	}
	checkRaw(t, body, data)
	total := 0
	for i := range data.Records {
		r := &data.Records[i]
		for _, e := range r.Elements {
			if e.Numeric() != (e.Group <= Group8) || !e.Numeric() && len(r.Bytes(e)) != int(e.Size) ||
				!data.layout().has(e.Group) {
				t.Fatalf("record %d element %+v, %d bytes", i+1, e, len(r.Bytes(e)))
			}
			total += int(e.Size)
		}
	}
	if total > len(body) {
		t.Fatalf("%d bytes of values in %d", total, len(body))
	}
	encoded, err := data.AppendBody(nil)
	if len(encoded) == 0 && errors.Is(err, ErrEncode) && tooManyElements(data) {
		return
	}
	if err != nil || len(encoded) != len(body) && data.Codec != Codec7 {
		t.Fatalf("encoded: %v\n got %x\nfrom %x", err, encoded, body)
	}
	if canonical(data) && !bytes.Equal(encoded, body) {
		t.Fatalf("encoded:\n got %x\nwant %x", encoded, body)
	}
	var again AVLData
	if err = again.Decode(encoded); err != nil || describeAVL(&again) != describeAVL(data) {
		t.Fatalf("encoded and decoded: %v\n got %s\nwant %s", err, describeAVL(&again), describeAVL(data))
	}
}

// tooManyElements reports whether a record has more elements than the total of its codec can say, which the
// groups together can hold.
func tooManyElements(d *AVLData) bool {
	most := 0xFF
	if d.Codec == Codec8E {
		most = 0xFFFF
	}
	for i := range d.Records {
		if len(d.Records[i].Elements) > most {
			return true
		}
	}
	return false
}

func FuzzMessages(f *testing.F) {
	seed(f, vector.isMessage, func(v vector) []byte { return v.body(f) })
	f.Fuzz(fuzzMessages)
}

// fuzzMessages decodes a data field. If it is good, its messages account for every byte, and what is encoded
// says the same.
func fuzzMessages(t *testing.T, body []byte) {
	var m Messages
	err := m.Decode(body)
	checkTrace(t, body, err)
	if err != nil {
		checkDecodeError(t, "Messages.Decode", err, body)
		return
	}
	size, letters := MinLength, false
	for _, msg := range m.Messages {
		size += 5 + m.Codec.prefixSize() + len(msg.Payload)
		if cap(msg.Payload) != len(msg.Payload) {
			t.Fatalf("payload of %d bytes can be appended to", len(msg.Payload))
		}
		letters = letters || strings.ContainsAny(msg.IMEI, "abcdef")
	}
	if size != len(body) {
		t.Fatalf("messages account for %d bytes of %d", size, len(body))
	}
	encoded, err := m.AppendFrame(nil)
	if letters || len(m.Messages) > MaxRecords {
		if !errors.Is(err, ErrEncode) || encoded != nil {
			t.Fatalf("encoded %x, %v", encoded, err)
		}
		return
	}
	if err != nil || len(encoded) != HeaderSize+len(body)+TrailerSize {
		t.Fatalf("encoded %x, %v", encoded, err)
	}
	var again Messages
	err = again.Decode(Frame(encoded).Body())
	if err != nil || again.Quantity != len(m.Messages) {
		t.Fatalf("encoded and decoded: quantity %d, %v", again.Quantity, err)
	}
	for i := range again.Messages {
		again.Messages[i].Size = m.Messages[i].Size // the one thing that devices get wrong
	}
	if !reflect.DeepEqual(again.Messages, m.Messages) {
		t.Fatalf("encoded and decoded:\n got %+v\nwant %+v", again.Messages, m.Messages)
	}
}

func FuzzLogin(f *testing.F) {
	seed(f, func(v vector) bool { return v.Transport != "udp" }, func(v vector) []byte { return v.bytes(f) })
	f.Fuzz(func(t *testing.T, b []byte) {
		n, lengthErr := ParseLoginLength(b)
		identifier, err := ParseLogin(b)
		if lengthErr != nil {
			checkDecodeError(t, "ParseLoginLength", lengthErr, b)
		}
		if err != nil {
			checkDecodeError(t, "ParseLogin", err, b)
			return
		}
		if lengthErr != nil || n != len(identifier) {
			t.Fatalf("length %d, %v of %q", n, lengthErr, identifier)
		}
		if again, err := AppendLogin(nil, identifier); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded %x, %v", again, err)
		}
	})
}

func FuzzDatagram(f *testing.F) {
	seed(f, func(v vector) bool { return v.Transport == "udp" }, func(v vector) []byte { return v.bytes(f) })
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAnswer(b); err != nil {
			checkDecodeError(t, "ParseAnswer", err, b)
		} else {
			again := Datagram{PacketID: a.PacketID, AVLPacketID: a.AVLPacketID}.AppendAnswer(nil, a.Accepted)
			if !bytes.Equal(again[:4], b[:4]) || !bytes.Equal(again[5:], b[5:]) {
				t.Fatalf("answer encoded %x from %x", again, b)
			}
		}
		d, err := ParseDatagram(b)
		if err != nil {
			checkDecodeError(t, "ParseDatagram", err, b)
			return
		}
		if d.BodyOffset()+len(d.Body) != len(b) {
			t.Fatalf("body of %d bytes at %d in %d", len(d.Body), d.BodyOffset(), len(b))
		}
		again, err := d.Append(nil)
		if len(b) > 0xFFFF+2 {
			if !errors.Is(err, ErrEncode) {
				t.Fatalf("%d bytes encoded: %v", len(b), err)
			}
			return
		}
		if err != nil || !bytes.Equal(again[2:], b[2:]) || d.LengthOK() != bytes.Equal(again[:2], b[:2]) {
			t.Fatalf("encoded %x, %v from %x", again, err, b)
		}
		var data AVLData
		if Codec(d.Body[0]).IsMessage() {
			fuzzMessages(t, d.Body)
		} else {
			fuzzAVL(t, d.Body, &data)
		}
	})
}
