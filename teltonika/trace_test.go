package teltonika

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// trace returns the fields of a data field, and checks that they lie side by side up to the one that does not fit.
func trace(t testing.TB, body []byte, length int) (fields []Field) {
	t.Helper()
	next := 0
	Trace(body, length, func(f Field) {
		if f.Offset != next && f.Name != "number of data 2" {
			t.Fatalf("%x: %+v, expected at byte %d", body, f, next)
		}
		if whole := len(f.Bytes) == f.Size; whole && string(f.Bytes) != string(body[f.Offset:f.Offset+f.Size]) {
			t.Fatalf("%x: %+v is not what stands there", body, f)
		} else if !whole && len(f.Bytes) > f.Size {
			t.Fatalf("%x: %+v is too long", body, f)
		}
		next = f.Offset + len(f.Bytes)
		fields = append(fields, f)
	})
	return fields
}

// checkTrace checks that the fields of a data field are those that Decode has found, and end where it has ended.
func checkTrace(t testing.TB, body []byte, err error) {
	t.Helper()
	if len(body) < MinLength {
		return
	}
	fields := trace(t, body, len(body))
	last := fields[len(fields)-1]
	if last.Name != "number of data 2" || last.Offset != len(body)-1 {
		t.Fatalf("%x: ends with %+v", body, last)
	}
	misfit := fields[max(0, len(fields)-2)]
	fits := len(misfit.Bytes) == misfit.Size
	var e *Error
	switch {
	case err == nil || errors.Is(err, ErrCount):
		if !fits || misfit.Offset+misfit.Size != last.Offset {
			t.Fatalf("%x: decoded, but traced up to %+v", body, misfit)
		}
	case errors.As(err, &e) && e.Err == ErrOverrun && Codec(body[0]).IsAVL():
		if fits || e.Offset != misfit.Offset || !strings.HasSuffix(e.Field, misfit.Name) {
			t.Fatalf("%x: %v, but traced up to %+v", body, err, misfit)
		}
	}
}

func TestTraceOfVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.isAVL() && !v.isMessage() {
			continue
		}
		body := v.body(t)
		var data AVLData
		checkTrace(t, body, decodeBody(body, &data))
		elements := 0
		for _, f := range trace(t, body, len(body)) {
			if f.Name == "value" {
				elements++
			}
		}
		if v.isAVL() && elements != len(data.elements) {
			t.Errorf("%s: %d elements traced, %d decoded", v.Name, elements, len(data.elements))
		}
	}
}

// What is cut off has the fields of the whole, up to the one that is cut.
func TestTraceOfPrefixes(t *testing.T) {
	for _, name := range []string{
		"wiki-tcp-avl-c8e-001", "wiki-tcp-avl-c16-001", "synth-tcp-avl-c7-001", "wiki-tcp-response-c15-001",
		"misc-tcp-avl-c8-001",
	} {
		body := vectorNamed(t, name).body(t)
		whole := trace(t, body, len(body))
		for n := range body {
			cut := trace(t, body[:n], len(body))
			last := len(cut) - 1
			if len(cut[last].Bytes) >= cut[last].Size || last >= len(whole) {
				t.Fatalf("%s, %d bytes: %+v", name, n, cut)
			}
			for i, f := range cut[:last] {
				if fmt.Sprint(f) != fmt.Sprint(whole[i]) {
					t.Fatalf("%s, %d bytes: %+v, expected %+v", name, n, f, whole[i])
				}
			}
		}
	}
}

func TestTraceOfDamage(t *testing.T) {
	for seed := range uint64(3000) {
		for _, codec := range []Codec{Codec7, Codec8, Codec8E, Codec16, Codec12, Codec13, Codec14, Codec15, 0x61} {
			body := append([]byte{byte(codec), byte(seed % 4)}, randomBytes(seed, int(seed%120)+1)...)
			for i := range body[2:] { // small numbers, so that records and groups are entered
				if body[2+i] > 64 {
					body[2+i] %= 3
				}
			}
			var data AVLData
			checkTrace(t, body, decodeBody(body, &data))
		}
	}
}
