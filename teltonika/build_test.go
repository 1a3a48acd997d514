package teltonika

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestBuildCodec8(t *testing.T) {
	r := Record{
		Timestamp: 1560161086000, Priority: 1, Longitude: -1, Latitude: -2, Altitude: -3, Angle: 359, Satellites: 11,
		Speed: 90, EventID: 66,
	}
	// Out of wire order, which the encoder makes.
	r.AddNumber(66, Group2, 24079)
	r.AddNumber(21, Group1, 3)
	r.AddNumber(241, Group4, 24602)
	r.AddNumber(78, Group8, 1<<63)
	r.AddNumber(1, Group1, 0x1FF) // the ninth bit is cut off
	data := AVLData{Codec: Codec8, Count: 77, Records: []Record{r}}
	got, err := data.AppendBody(nil)
	want := "0801 0000016b40d8ea30 01 ffffffff fffffffe fffd 0167 0b 005a 42 05" +
		"02 1503 01ff 01 425e0f 01 f10000601a 01 4e8000000000000000 01"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %s", err, got, strings.ReplaceAll(want, " ", ""))
	}
}

func TestBuildEveryGroup(t *testing.T) {
	long := randomBytes(3, 0xFFFF)
	sixteen := randomBytes(4, 16)
	for _, c := range []struct {
		data  AVLData
		build func(*Record)
	}{
		{AVLData{Codec: Codec8, N16: true}, func(r *Record) {
			r.AddBytes(200, Group16, sixteen)
			r.AddNumber(255, Group8, 1<<64-1)
		}},
		{AVLData{Codec: Codec16}, func(r *Record) {
			r.Generation, r.EventID = 7, 0xFFFF
			r.AddNumber(0xFFFF, Group1, 1)
			r.AddNumber(256, Group4, 4)
		}},
		{AVLData{Codec: Codec8E}, func(r *Record) {
			r.AddBytes(331, GroupX, nil)
			r.AddBytes(385, GroupX, long)
			r.AddBytes(256, GroupX, []byte("WVWZZZ1KZAW000001"))
			r.AddNumber(239, Group1, 1)
		}},
	} {
		var r Record
		c.build(&r)
		c.data.Records = []Record{r, r}
		body, err := c.data.AppendBody(nil)
		if err != nil {
			t.Errorf("codec %v: %v", c.data.Codec, err)
			continue
		}
		var decoded AVLData
		if err := decoded.Decode(body); err != nil || decoded.N16 != c.data.N16 || len(decoded.Records) != 2 {
			t.Errorf("codec %v: %v, n16 %v, %d records", c.data.Codec, err, decoded.N16, len(decoded.Records))
			continue
		}
		for i := range decoded.Records {
			if got, want := sortedElements(&decoded.Records[i]), sortedElements(&r); got != want {
				t.Errorf("codec %v:\n got %.200s\nwant %.200s", c.data.Codec, got, want)
			}
		}
	}
}

// sortedElements is a record's elements by group, as they are sent.
func sortedElements(r *Record) string {
	var out strings.Builder
	for g := Group1; g <= GroupX; g++ {
		for _, e := range r.Elements {
			if e.Group == g {
				out.WriteString(hex.EncodeToString([]byte{byte(g), byte(e.ID >> 8), byte(e.ID)}) + ":" + valueHex(r, e) + " ")
			}
		}
	}
	return out.String()
}

// Elements can be added to a record that was decoded; the packet stays as it is.
func TestBuildOnDecodedRecord(t *testing.T) {
	packet := unhex(t, "8e01 000001905d35bd18 00 0f0ea850 209a6900 0094 00d6 0c 0000 0000 0001"+
		"0000 0000 0000 0000 0001 0181 0002 abcd 01")
	before := bytes.Clone(packet)
	var data, again AVLData
	if err := data.Decode(packet); err != nil {
		t.Fatal(err)
	}
	r := &data.Records[0]
	r.AddBytes(10829, GroupX, []byte{0x11, 0x22, 0x33})
	r.AddNumber(239, Group1, 1)
	body, err := data.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(packet, before) {
		t.Errorf("the packet changed to %x", packet)
	}
	if err := again.Decode(body); err != nil {
		t.Fatal(err)
	}
	const want = "0000ef:01 050181:abcd 052a4d:112233 "
	if got := sortedElements(&again.Records[0]); got != want {
		t.Errorf("elements %s, want %s", got, want)
	}
}

func recordWith(build func(*Record)) []Record {
	var r Record
	build(&r)
	return []Record{{}, r}
}

func TestEncodeRefusesAVL(t *testing.T) {
	elements := func(n int) func(*Record) {
		return func(r *Record) {
			for range n {
				r.AddNumber(1, Group1, 1)
			}
		}
	}
	other := recordWith(func(r *Record) { r.AddBytes(1, GroupX, []byte("in another record")) })
	for _, c := range []struct {
		name  string
		data  AVLData
		field string
	}{
		{"message codec", AVLData{Codec: Codec12}, "codec id"},
		{"no codec", AVLData{}, "codec id"},
		{"256 records", AVLData{Codec: Codec8, Records: make([]Record, 256)}, "number of data 1"},
		{"event id in 8", AVLData{Codec: Codec8, Records: recordWith(func(r *Record) { r.EventID = 256 })},
			"record 2 event id"},
		{"element id in 8", AVLData{Codec: Codec8, Records: recordWith(func(r *Record) { r.AddNumber(256, Group1, 1) })},
			"record 2 element id"},
		{"256 elements in 8", AVLData{Codec: Codec8, Records: recordWith(elements(256))}, "record 2 total elements"},
		{"256 elements in 16", AVLData{Codec: Codec16, Records: recordWith(elements(256))}, "record 2 total elements"},
		{"65,536 elements in 8E", AVLData{Codec: Codec8E, Records: recordWith(elements(65536))}, "record 2 total elements"},
		{"variable length in 8", AVLData{Codec: Codec8, N16: true,
			Records: recordWith(func(r *Record) { r.AddBytes(1, GroupX, nil) })}, "record 2 element"},
		{"variable length in 16", AVLData{Codec: Codec16,
			Records: recordWith(func(r *Record) { r.AddBytes(1, GroupX, nil) })}, "record 2 element"},
		{"16 bytes in 8", AVLData{Codec: Codec8,
			Records: recordWith(func(r *Record) { r.AddBytes(1, Group16, make([]byte, 16)) })}, "record 2 element"},
		{"16 bytes in 8E", AVLData{Codec: Codec8E, N16: true,
			Records: recordWith(func(r *Record) { r.AddBytes(1, Group16, make([]byte, 16)) })}, "record 2 element"},
		{"15 bytes in the 16-byte group",
			AVLData{Codec: Codec8, N16: true, Records: recordWith(func(r *Record) { r.AddBytes(1, Group16, make([]byte, 15)) })},
			"record 2 element"},
		{"65,536 bytes", AVLData{Codec: Codec8E,
			Records: recordWith(func(r *Record) { r.AddBytes(1, GroupX, make([]byte, 65536)) })}, "record 2 element"},
		{"bytes in a number's group", AVLData{Codec: Codec8E,
			Records: recordWith(func(r *Record) { r.AddBytes(1, Group4, make([]byte, 4)) })}, "record 2 element"},
		{"number in the 16-byte group", AVLData{Codec: Codec8, N16: true,
			Records: recordWith(func(r *Record) { r.AddNumber(1, Group16, 1) })}, "record 2 element"},
		{"number of variable length", AVLData{Codec: Codec8E,
			Records: recordWith(func(r *Record) { r.AddNumber(1, GroupX, 1) })}, "record 2 element"},
		{"group of no codec", AVLData{Codec: Codec8E, Records: recordWith(func(r *Record) { r.AddNumber(1, 200, 1) })},
			"record 2 element"},
		{"element without a size", AVLData{Codec: Codec8E,
			Records: recordWith(func(r *Record) { r.Elements = []Element{{ID: 1, Group: Group2}} })}, "record 2 element"},
		{"element of another record", AVLData{Codec: Codec8E,
			Records: recordWith(func(r *Record) { r.Elements = other[1].Elements })}, "record 2 element"},
	} {
		dst := []byte{1, 2, 3}
		for form, appendTo := range map[string]func([]byte) ([]byte, error){"body": c.data.AppendBody,
			"frame": c.data.AppendFrame} {
			got, err := appendTo(dst)
			if !bytes.Equal(got, dst) {
				t.Errorf("%s, %s: %x was appended", c.name, form, got)
			}
			checkEncodeError(t, c.name, err, c.field)
		}
	}
}

// Whoever reads an element that is not the record's own gets nothing, not a panic.
func TestBytesOfForeignElement(t *testing.T) {
	var r, other Record
	r.AddBytes(1, GroupX, []byte("value"))
	other.AddBytes(1, GroupX, []byte("value"))
	number := Element{Group: Group8, Size: 8, value: 1<<64 - 1}
	for name, e := range map[string]Element{
		"number": number, "number turned into bytes": {Group: GroupX, Size: 3, value: 1<<64 - 1},
		"beyond the data": {Group: GroupX, Size: 1, value: 5}, "unknown group": {Group: 9},
	} {
		if got := r.Bytes(e); got != nil {
			t.Errorf("%s: %x", name, got)
		}
	}
	if got := r.Bytes(r.Elements[0]); string(got) != "value" {
		t.Errorf("own element: %q", got)
	}
}

func TestEncodeRefusesOthers(t *testing.T) {
	long := strings.Repeat("1", 65)
	imei := func(s string) *Messages { return &Messages{Codec: Codec14, Messages: []Message{{}, {IMEI: s}}} }
	for _, c := range []struct {
		name   string
		encode func([]byte) ([]byte, error)
		field  string
	}{
		{"empty login", func(b []byte) ([]byte, error) { return AppendLogin(b, "") }, "login identifier"},
		{"login of 65", func(b []byte) ([]byte, error) { return AppendLogin(b, long) }, "login identifier"},
		{"login with a space", func(b []byte) ([]byte, error) { return AppendLogin(b, "12 4") }, "login identifier"},
		{"datagram without IMEI", Datagram{}.Append, "login identifier"},
		{"datagram of 64 KiB", Datagram{IMEI: "1", Body: make([]byte, 65536)}.Append, "length"},
		{"AVL codec", (&Messages{Codec: Codec8}).AppendFrame, "codec id"},
		{"256 messages", (&Messages{Codec: Codec12, Messages: make([]Message, 256)}).AppendFrame, "quantity 1"},
		{"no IMEI", imei("").AppendFrame, "message 1 IMEI"},
		{"IMEI of 14", imei("12345678901234").AppendFrame, "message 1 IMEI"},
	} {
		dst := []byte{1, 2, 3}
		got, err := c.encode(dst)
		if !bytes.Equal(got, dst) {
			t.Errorf("%s: %x was appended", c.name, got)
		}
		checkEncodeError(t, c.name, err, c.field)
	}
	second := Messages{Codec: Codec15, Messages: []Message{{IMEI: "123456789012345"}, {IMEI: "12345678901234F"}}}
	_, err := second.AppendFrame(nil)
	checkEncodeError(t, "IMEI with a letter", err, "message 2 IMEI")
}

func checkEncodeError(t *testing.T, name string, err error, field string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrEncode) || e.Op != OpEncode || e.Field != field ||
		!strings.HasPrefix(err.Error(), field+": ") {
		t.Errorf("%s: %v, want ErrEncode at %s", name, err, field)
	}
}
