package teltonika

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// The head of a record of Codec 7 with a GPS element and all groups, and a GPS element with everything.
const (
	head7 = "23c34600 0f"
	gps7  = "ff 425a0000 41ca0000 0094 40 32 09 002a 1b3c 16 0000601a"
)

func TestErrorsCodec7(t *testing.T) {
	decode := func(b []byte) error { var d AVLData; return d.Decode(b) }
	checkErrors(t, decode, []errorCase{
		{"no record", "0701 01", ErrOverrun, "record 1 timestamp", 2},
		{"time cut", "0701 23c346 01", ErrOverrun, "record 1 timestamp", 2},
		{"no global mask", "0701 23c34600 01", ErrOverrun, "record 1 global mask", 6},
		{"no GPS mask", "0701" + head7 + "01", ErrOverrun, "record 1 GPS mask", 7},
		{"coordinates cut", "0701" + head7 + "ff 425a0000 41ca00 01", ErrOverrun, "record 1 latitude and longitude", 8},
		{"altitude cut", "0701" + head7 + "02 00 01", ErrOverrun, "record 1 altitude", 8},
		{"no angle", "0701" + head7 + "06 0094 01", ErrOverrun, "record 1 angle", 10},
		{"no speed", "0701" + head7 + "08 01", ErrOverrun, "record 1 speed", 8},
		{"no satellites", "0701" + head7 + "18 32 01", ErrOverrun, "record 1 satellites", 9},
		{"cell cut", "0701" + head7 + "20 002a1b 01", ErrOverrun, "record 1 LAC and CID", 8},
		{"no signal", "0701" + head7 + "40 01", ErrOverrun, "record 1 signal", 8},
		{"operator cut", "0701" + head7 + "c0 16 000060 01", ErrOverrun, "record 1 operator", 9},
		{"no count", "0701" + head7 + gps7 + "01", ErrOverrun, "record 1 1-byte element count", 30},
		{"element cut", "0701" + head7 + gps7 + "01 05 01", ErrOverrun, "record 1 1-byte element 1 value", 32},
		{"second group cut", "0701" + head7 + gps7 + "00 01 05 00 01", ErrOverrun, "record 1 2-byte element 1 value", 33},
		{"no third group", "0701" + head7 + gps7 + "00 00 01", ErrOverrun, "record 1 4-byte element count", 32},
		{"second record", "0702 23c34600 00 23c346 02", ErrOverrun, "record 2 timestamp", 7},
		{"trailing", "0701 23c34600 00 ab 01", ErrTrailing, "number of data 2", 7},
		{"n1 below n2", "0701 23c34600 00 02", ErrCount, "number of data 2", 7},
	})
}

// A coordinate that no int32 holds is as good as none; the rest of the record is kept.
func TestCodec7CoordinatesThatAreNoNumber(t *testing.T) {
	float := func(f float64) []byte { return appendBits(nil, float32(f)) }
	good := float(54.5)
	inf := math.Inf(1)
	for _, bad := range []float64{math.NaN(), inf, -inf, math.MaxFloat32, -math.MaxFloat32, 214.75, -214.75} {
		for _, pair := range [][]byte{append(float(bad), good...), append(bytes.Clone(good), float(bad)...)} {
			body := unhex(t, "0701 23c34600 01 13")
			body = append(append(body, pair...), 0x00, 0x94, 7, 1)
			var data AVLData
			if err := data.Decode(body); err != nil {
				t.Fatalf("%v: %v", bad, err)
			}
			r := &data.Records[0]
			if r.Has(FieldCoordinates) || r.Latitude != 0 || r.Longitude != 0 || r.Altitude != 0x94 || r.Satellites != 7 {
				t.Errorf("%v: %+v", bad, r)
			}
		}
	}
}

func appendBits(dst []byte, f float32) []byte {
	b := math.Float32bits(f)
	return append(dst, byte(b>>24), byte(b>>16), byte(b>>8), byte(b))
}

// What a record has, and what only looks like 0.
func TestCodec7FieldsThatAreMissing(t *testing.T) {
	var data AVLData
	if err := data.Decode(vectorNamed(t, "traccar-tcp-avl-c7-001").body(t)); err != nil {
		t.Fatal(err)
	}
	const network = FieldCell | FieldSignal | FieldOperator
	for i, want := range []Fields{allFields, network, network, allFields &^ (FieldSignal | FieldOperator)} {
		if got := data.Records[i].Lacks; got != want {
			t.Errorf("record %d lacks %08b, want %08b", i+1, got, want)
		}
	}
	if r := &data.Records[3]; r.Signal != 26 || r.Operator != 21803 || r.LAC != 0 {
		t.Errorf("%+v", r)
	}
}

func TestBuildCodec7(t *testing.T) {
	r := Record{
		Timestamp: 1767609600000, Priority: 3, Latitude: -33_5000000, Longitude: 25_2500000, Altitude: -2,
		Angle: 90, Speed: 50, Satellites: 9, Lacks: FieldSignal, LAC: 42, CID: 6972, Operator: 24602,
	}
	r.AddNumber(5, Group4, 3300)
	r.AddNumber(1, Group1, 94)
	data := AVLData{Codec: Codec7, Records: []Record{r, {Timestamp: 1767609600000, Lacks: 0xFF, Speed: 999}}}
	got, err := data.AppendBody(nil)
	want := "0702 e3c34600 0b bf c2060000 41ca0000 fffe 40 32 09 002a1b3c 0000601a 01015e 010500000ce4 23c34600 00 02"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %x", err, got, unhex(t, want))
	}
}

func TestEncodeRefusesCodec7(t *testing.T) {
	const at = 1767609600000
	full := Record{Timestamp: at}
	for range 256 {
		full.AddNumber(1, Group2, 1)
	}
	eight := Record{Timestamp: at}
	eight.AddNumber(1, Group8, 1)
	id := Record{Timestamp: at}
	id.AddNumber(256, Group1, 1)
	for name, r := range map[string]Record{
		"milliseconds":         {Timestamp: at + 1},
		"time before 2007":     {Timestamp: epoch7*1000 - 1000},
		"time after 30 bits":   {Timestamp: (epoch7 + 1<<30) * 1000},
		"priority":             {Timestamp: at, Priority: 4},
		"event id":             {Timestamp: at, EventID: 1},
		"angle":                {Timestamp: at, Angle: 360},
		"speed":                {Timestamp: at, Speed: 256},
		"2-byte element count": full,
		"8-byte element":       eight,
		"element id":           id,
	} {
		data := AVLData{Codec: Codec7, Records: []Record{r}}
		if got, err := data.AppendFrame(nil); got != nil || !errors.Is(err, ErrEncode) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}
