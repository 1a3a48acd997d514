package teltonika

import (
	"reflect"
	"testing"
	"unsafe"
)

// A structure that has decoded anything before decodes as a new one does.
func TestReuseLeavesNothingBehind(t *testing.T) {
	small := vectorNamed(t, "synth-tcp-avl-c8-002").body(t)
	var fresh AVLData
	if err := fresh.Decode(small); err != nil {
		t.Fatal(err)
	}
	before := map[string][]byte{
		"255 records":          vectorNamed(t, "synth-tcp-avl-c8-018").body(t),
		"16-byte group":        vectorNamed(t, "dameg-tcp-avl-c8-017").body(t),
		"variable length":      vectorNamed(t, "synth-tcp-avl-c8e-004").body(t),
		"generation type":      vectorNamed(t, "wiki-tcp-avl-c16-001").body(t),
		"codec 7":              vectorNamed(t, "traccar-tcp-avl-c7-001").body(t),
		"counts differ":        vectorNamed(t, "synth-tcp-avl-c8-017").body(t),
		"record cut":           vectorNamed(t, "karticr-tcp-avl-c8e-006").body(t)[:500],
		"16-byte group cut":    vectorNamed(t, "dameg-tcp-avl-c8-017").body(t)[:500],
		"garbage":              append([]byte{0x8E, 0xFF}, randomBytes(5, 3000)...),
		"garbage of codec 8":   append([]byte{0x08, 0xFF}, randomBytes(6, 3000)...),
		"unknown codec":        randomBytes(7, 100),
		"nothing":              nil,
		"codec id and nothing": {0x10},
	}
	for name, body := range before {
		var data AVLData
		data.Decode(body) // its error, if any, is the errors' tests' business
		if err := data.Decode(small); err != nil {
			t.Errorf("after %s: %v", name, err)
			continue
		}
		if data.Codec != fresh.Codec || data.Count != fresh.Count || data.N16 != fresh.N16 ||
			!equalRecords(data.Records, fresh.Records) {
			t.Errorf("after %s:\n got %+v\nwant %+v", name, data, fresh)
		}
	}
}

// equalRecords compares all fields, the unexported ones included.
func equalRecords(a, b []Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if len(x.Elements) == 0 && len(y.Elements) == 0 {
			x.Elements, y.Elements = nil, nil // an empty slice of any array
		}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// A structure that is kept for its capacity keeps no earlier packet alive.
func TestReuseLetsGoOfPackets(t *testing.T) {
	var data AVLData
	if err := data.Decode(vectorNamed(t, "synth-tcp-avl-c8-018").body(t)); err != nil {
		t.Fatal(err)
	}
	if err := data.Decode(vectorNamed(t, "synth-tcp-avl-c8-002").body(t)); err != nil {
		t.Fatal(err)
	}
	for i, r := range data.Records[1:cap(data.Records)] {
		if r.Raw != nil || r.data != nil || r.Elements != nil {
			t.Fatalf("record %d still refers to %d bytes", i+2, len(r.Raw))
		}
	}
}

// The same holds for messages.
func TestReuseOfMessages(t *testing.T) {
	one := vectorNamed(t, "wiki-tcp-response-c15-001").body(t)
	var fresh, m Messages
	if err := fresh.Decode(one); err != nil {
		t.Fatal(err)
	}
	three := Messages{Codec: Codec12,
		Messages: []Message{{Payload: []byte("a")}, {Payload: []byte("b")}, {Payload: []byte("c")}}}
	body, err := three.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, before := range map[string][]byte{
		"three": body, "a third that is cut off": append(body[:len(body)-2:len(body)-2], 3), "AVL data": {8, 0, 0},
		"nothing": nil,
	} {
		m.Decode(before) // its error, if any, is the errors' tests' business
		if err := m.Decode(one); err != nil || !reflect.DeepEqual(m, fresh) {
			t.Errorf("after %s: %v\n got %+v\nwant %+v", name, err, m, fresh)
		}
		for i, left := range m.Messages[1:cap(m.Messages)] {
			if left.Payload != nil {
				t.Errorf("after %s: message %d still refers to its payload", name, i+2)
			}
		}
	}
}

// Records' bytes lie side by side and fill the data field, and cannot be appended over.
func TestRawIsTheRecordAsSent(t *testing.T) {
	var data AVLData
	for _, v := range vectors(t) {
		if v.isAVL() {
			body := v.body(t)
			if data.Decode(body) == nil {
				checkRaw(t, body, &data)
			}
		}
	}
}

func checkRaw(t *testing.T, body []byte, data *AVLData) {
	t.Helper()
	p := 2
	for i := range data.Records {
		raw := data.Records[i].Raw
		if len(raw) == 0 || unsafe.SliceData(raw) != &body[p] || cap(raw) != len(raw) {
			t.Fatalf("record %d: %d bytes, capacity %d, not at byte %d", i+1, len(raw), cap(raw), p)
		}
		p += len(raw)
		if e := data.Records[i].Elements; cap(e) != len(e) {
			t.Fatalf("record %d: %d elements, capacity %d", i+1, len(e), cap(e))
		}
	}
	if p != len(body)-1 {
		t.Fatalf("records end at byte %d, number of data 2 is byte %d", p, len(body)-1)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	var data AVLData
	for _, name := range []string{
		"synth-tcp-avl-c8-018", "dameg-tcp-avl-c8-017", "wiki-tcp-avl-c16-001", "synth-tcp-avl-c8e-003",
		"anilaras-tcp-avl-c8e-008",
		"traccar-tcp-avl-c7-002", "synth-tcp-avl-c7-010",
	} {
		frame := Frame(vectorNamed(t, name).bytes(t))
		allocs := testing.AllocsPerRun(100, func() {
			if err := frame.Verify(); err != nil {
				t.Fatal(err)
			}
			if err := data.Decode(frame.Body()); err != nil {
				t.Fatal(err)
			}
		})
		// A frame with a 16-byte group is tried as Codec 8 first, and the memory for elements that are none is not kept.
		if allocs > 0 && !data.N16 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
