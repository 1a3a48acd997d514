package teltonika

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
)

// canonical reports whether the totals of elements are right: nothing else of a body that decodes is lost. Of Codec 7,
// which has no total, more is.
func canonical(d *AVLData) bool {
	for i := range d.Records {
		r := &d.Records[i]
		if d.Codec == Codec7 && !canonical7(r) || d.Codec != Codec7 && int(r.Total) != len(r.Elements) {
			return false
		}
	}
	return true
}

// canonical7 reports whether a record of Codec 7 has none of what is lost: bits of the global mask that say nothing,
// coordinates that are no number on the globe, and those so near to 0 that a float is finer than 1e-7 degree.
func canonical7(r *Record) bool {
	var mask byte
	if r.Lacks != allFields {
		mask = maskOfGPS
	}
	for _, e := range r.Elements {
		mask |= maskOfGroup(e.Group)
	}
	if r.Raw[4] != mask || mask&maskOfGPS != 0 && r.Raw[5] != byte(^r.Lacks) {
		return false
	}
	return !r.Has(FieldCoordinates) || farFrom0(r.Latitude) && farFrom0(r.Longitude)
}

func farFrom0(coordinate int32) bool { return coordinate > 1e7 || coordinate < -1e7 }

func TestRoundTripTraffic(t *testing.T) {
	var data AVLData
	var encoded []byte
	for i, frame := range traffic(t) {
		if err := data.Decode(frame.Body()); err != nil {
			t.Fatal(err)
		}
		var err error
		if encoded, err = data.AppendFrame(encoded[:0]); err != nil || !bytes.Equal(encoded, frame) {
			t.Fatalf("frame %d encoded: %v\n got %x\nwant %x", i+1, err, encoded, frame)
		}
	}
}

// lossy are the vectors of Codec 7 with what canonical7 excludes.
var lossy = []string{"synth-tcp-avl-c7-006", "synth-tcp-avl-c7-008", "synth-tcp-avl-c7-009", "synth-tcp-avl-c7-010",
	"synth-tcp-avl-c7-015"}

func TestRoundTripVectorsAVL(t *testing.T) {
	var data AVLData
	for _, v := range vectors(t) {
		if !v.isAVL() {
			continue
		}
		body := v.body(t)
		if err := data.Decode(body); err != nil {
			continue // TestVectorsAVL says which
		}
		if slices.Contains(lossy, v.Name) {
			continue
		}
		if !canonical(&data) {
			t.Errorf("%s: a total of elements is wrong, which no known packet has", v.Name)
		}
		const before = "before"
		encoded, err := data.AppendBody([]byte(before))
		if err != nil || string(encoded) != before+string(body) {
			t.Errorf("%s: encoded: %v\n got %x\nwant %x", v.Name, err, encoded, body)
		}
		if v.Transport != "tcp" || !*v.CRCOK {
			continue
		}
		if got := AppendFrame(nil, body); !bytes.Equal(got, v.bytes(t)) {
			t.Errorf("%s: framed:\n got %x\nwant %s", v.Name, got, v.Hex)
		}
		if got, err := data.AppendFrame(nil); err != nil || !bytes.Equal(got, v.bytes(t)) {
			t.Errorf("%s: frame encoded: %v\n got %x\nwant %s", v.Name, err, got, v.Hex)
		}
	}
}

func TestRoundTripVectorsMessages(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.isMessage() {
			continue
		}
		var m Messages
		err := m.Decode(v.body(t))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		got, err := m.AppendFrame(nil)
		if want := AppendFrame(nil, v.body(t)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: encoded: %v\n got %x\nwant %x", v.Name, err, got, want)
		}
	}
}

func TestRoundTripVectorsLoginsAndDatagrams(t *testing.T) {
	for _, v := range vectors(t) {
		packet := v.bytes(t)
		if v.Kind == "login" {
			imei, err := ParseLogin(packet)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := AppendLogin(nil, imei); err != nil || !bytes.Equal(got, packet) {
				t.Errorf("%s: encoded %x, %v", v.Name, got, err)
			}
		}
		if v.Transport != "udp" || !v.isAVL() {
			continue
		}
		d, err := ParseDatagram(packet)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Append([]byte{0xAA})
		if err != nil || got[0] != 0xAA || !bytes.Equal(got[3:], packet[2:]) ||
			d.LengthOK() && !bytes.Equal(got[1:], packet) {
			t.Errorf("%s: encoded: %v\n got %x\nwant %x", v.Name, err, got[1:], packet)
			continue
		}
		if again, err := ParseDatagram(got[1:]); err != nil || !again.LengthOK() {
			t.Errorf("%s: encoded and parsed: %v, length %d", v.Name, err, again.Length)
		}
	}
}

// Some devices send the rest of their buffer, zeros, behind a packet whose length field is right.
func TestDatagramWithItsReadBuffersZerosBehindIt(t *testing.T) {
	for _, v := range vectors(t) {
		packet := v.bytes(t)
		d, err := ParseDatagram(packet)
		if v.Transport != "udp" || !v.isAVL() || err != nil || !d.LengthOK() {
			continue
		}
		for _, zeros := range []int{1, 2, 200} {
			padded, err := ParseDatagram(append(bytes.Clone(packet), make([]byte, zeros)...))
			if err != nil || !bytes.Equal(padded.Body, d.Body) || !padded.LengthOK() {
				t.Errorf("%s and %d zeros: body of %d bytes, %v, want %d", v.Name, zeros, len(padded.Body), err, len(d.Body))
			}
		}
		other, err := ParseDatagram(append(bytes.Clone(packet), 0, 0, 1, 0))
		if err != nil || len(other.Body) != len(d.Body)+4 || other.LengthOK() {
			t.Errorf("%s and more than zeros: body of %d bytes, %v", v.Name, len(other.Body), err)
		}
	}
}

// A wrong length field cuts nothing off that decodes: the last byte is number of data 2, and not zero where there are
// records.
func TestWrongLengthFieldCutsNoRecordsOff(t *testing.T) {
	for _, v := range vectors(t) {
		packet := v.bytes(t)
		if v.Transport != "udp" || !v.isAVL() || len(packet) < 2 {
			continue
		}
		for length := range len(packet) + 2 {
			binary.BigEndian.PutUint16(packet, uint16(length))
			d, err := ParseDatagram(packet)
			if err != nil || d.BodyOffset()+len(d.Body) != len(packet) {
				t.Fatalf("%s with length %d: body of %d bytes, %v", v.Name, length, len(d.Body), err)
			}
		}
	}
}

func TestRoundTripUDPAnswer(t *testing.T) {
	for _, accepted := range []int{0, 1, 255} {
		d := Datagram{PacketID: 0x1234, Type: 0, AVLPacketID: 0xFE}
		got, err := ParseAnswer(d.AppendAnswer(nil, accepted))
		if want := (Answer{0x1234, 0xFE, accepted}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
}

// What is lost in encoding is only what lied: decoded again, the rest is the same.
func TestRoundTripOfLies(t *testing.T) {
	for name, body := range map[string]string{
		"total too high": "0801 000001905d35bd18 00 0f0ea850 209a6900 0094 00d6 0c 0000 00 63 0115 03 00 00 00 01",
		"total too low":  "8e01" + fixed + "0000 0000 0000 0001 0042 3039 0000 0000 0000 01",
	} {
		var first, second AVLData
		packet := unhex(t, body)
		if err := first.Decode(packet); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if canonical(&first) {
			t.Fatalf("%s: the total is right", name)
		}
		encoded, err := first.AppendBody(nil)
		if err != nil || bytes.Equal(encoded, packet) {
			t.Fatalf("%s: encoded %x, %v", name, encoded, err)
		}
		if err = second.Decode(encoded); err != nil || !canonical(&second) {
			t.Fatalf("%s: encoded and decoded: %v", name, err)
		}
		if got, want := describeAVL(&second), describeAVL(&first); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestRoundTripOfLyingMessages(t *testing.T) {
	for name, body := range map[string]string{
		"quantity":               "0c02 06 00000002 0d0a 02",
		"size without timestamp": "0d01 05 00000003 56e92422 234745 01",
		"size without IMEI":      "0e01 06 00000000 0352093081452251 01",
	} {
		var first Messages
		err := first.Decode(unhex(t, body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		encoded, err := first.AppendFrame(nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var second Messages
		err = second.Decode(Frame(encoded).Body())
		if err != nil || second.Quantity != len(second.Messages) {
			t.Fatalf("%s: encoded and decoded: quantity %d, %v", name, second.Quantity, err)
		}
		for i := range first.Messages {
			first.Messages[i].Size = second.Messages[i].Size
		}
		if !reflect.DeepEqual(first.Messages, second.Messages) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, second.Messages, first.Messages)
		}
	}
}
