package record

import (
	"bytes"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// recordOfEverything has each kind of value, numbers of all lengths and, on request, repeated ids.
func recordOfEverything(repeated bool) teltonika.Record {
	r := teltonika.Record{
		Timestamp: 1560161086000, Latitude: -546674251, Longitude: 252560283, Altitude: -172, Angle: 248,
		Satellites: 11, Priority: 1, EventID: 66, Raw: []byte("the record's bytes, whatever they are"),
	}
	value := uint64(9)
	for id := range uint16(19) {
		r.AddNumber(id*7, teltonika.Group8, value)
		r.AddNumber(id*997+1, teltonika.Group4, value)
		value = value*10 + 9
	}
	r.AddBytes(11317, teltonika.GroupX, []byte("a text of the device"))
	r.AddBytes(11318, teltonika.GroupX, nil)
	if repeated {
		r.AddNumber(7, teltonika.Group1, 1)
		r.AddBytes(998, teltonika.GroupX, []byte{1})
	}
	return r
}

// TestBufferGrowsAnywhere lets the buffer run out at each byte of a document.
func TestBufferGrowsAnywhere(t *testing.T) {
	const before = "what was appended before"
	o := origin(teltonika.Codec8E)
	for _, repeated := range []bool{false, true} {
		r := recordOfEverything(repeated)
		want := reference(o, true, &r)
		encoder := Encoder{Raw: true}
		encoder.Begin(o)
		for room := range len(want) + 16 {
			buffer := make([]byte, 0, len(before)+room)
			dst, doc, err := appendOne(&encoder, append(buffer, before...), &r)
			if err != nil {
				t.Fatal(err)
			}
			if string(dst) != before+want {
				t.Fatalf("with %d bytes of room:\n got %s\nwant %s", room, dst, before+want)
			}
			checkDocument(t, o, true, &r, doc)
		}
	}
}

// TestDocumentsStayValid appends many documents to one buffer, which moves when it grows.
func TestDocumentsStayValid(t *testing.T) {
	o := origin(teltonika.Codec16)
	var encoder Encoder
	encoder.Begin(o)
	var dst []byte
	records := make([]teltonika.Record, 500)
	docs := make([]engine.Record, len(records))
	moved := 0
	for i := range records {
		records[i] = recordOfEverything(i%3 == 0)
		records[i].Timestamp += uint64(i) * 3_600_000
		var err error
		next, doc, err := appendOne(&encoder, dst, &records[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(dst) > 0 && &next[0] != &dst[0] {
			moved++
		}
		dst, docs[i] = next, doc
	}
	if moved == 0 {
		t.Fatal("the buffer never moved")
	}
	for i := range records {
		checkDocument(t, o, false, &records[i], docs[i])
	}
}

// TestDocumentCannotBeAppendedTo: an append to one part of a document leaves the others alone.
func TestDocumentCannotBeAppendedTo(t *testing.T) {
	o := origin(teltonika.Codec8)
	r := recordOfEverything(false)
	var encoder Encoder
	encoder.Begin(o)
	dst, doc, err := appendOne(&encoder, make([]byte, 0, 1<<14), &r)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{doc.Time, doc.ID, doc.Payload} {
		if cap(part) != len(part) {
			t.Errorf("%d bytes of room behind %s", cap(part)-len(part), part)
		}
	}
	if !bytes.Equal(dst, doc.Payload) {
		t.Error("the payload is not what was appended")
	}
}

func TestNoAllocations(t *testing.T) {
	for _, c := range []struct {
		name     string
		raw      bool
		repeated bool
		codec    teltonika.Codec
	}{
		{"plain", false, false, teltonika.Codec8E}, {"raw", true, false, teltonika.Codec8E},
		{"repeated ids", false, true, teltonika.Codec8E}, {"codec 7", false, false, teltonika.Codec7},
	} {
		encoder := Encoder{Raw: c.raw}
		records := []teltonika.Record{recordOfEverything(c.repeated), {Raw: []byte{1}}, recordOfEverything(c.repeated)}
		var dst []byte
		var stored []engine.Record
		frame := func() {
			encoder.Begin(origin(c.codec))
			dst, stored = dst[:0], stored[:0]
			for i := range records {
				dst, stored, _ = encoder.Append(dst, stored, &records[i])
			}
		}
		frame() // warm
		if allocations := testing.AllocsPerRun(100, frame); allocations != 0 {
			t.Errorf("%s: %v allocations a frame", c.name, allocations)
		}
	}
}
