package device

import (
	"reflect"
	"testing"
	"time"
	"unique"
	"unsafe"
)

// full is a presence all of whose fields say something, but for those that view adds.
func full(t *testing.T) Presence {
	t.Helper()
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch v.Kind() {
		case reflect.Struct:
			if at, isTime := v.Addr().Interface().(*Time); isTime {
				at.Time = time.UnixMilli(1_700_000_000_000 + int64(n))
				return
			}
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Pointer:
			if v.Type() != reflect.TypeFor[*Presence]() {
				v.Set(reflect.New(v.Type().Elem()))
				fill(v.Elem())
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.String:
			v.SetString("text " + string(rune('a'+n%26)))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int32, reflect.Int64:
			v.SetInt(int64(n))
		case reflect.Uint8, reflect.Uint64:
			v.SetUint(uint64(n))
		default:
			t.Fatalf("no value for %v", v.Type())
		}
	}
	var p Presence
	fill(reflect.ValueOf(&p).Elem())
	p.IMEI, p.Claimed, p.Model, p.Firmware, p.Family, p.Rejected, p.Datagrams = "", false, "", "", "", 0, nil
	p.Login = Login{At: p.ConnectedAt, Answer: LoginDelayed, Reason: LoginBackoff, DelayMS: 7, Address: p.Address}
	return p
}

func TestCompactSaysTheSame(t *testing.T) {
	for name, p := range map[string]Presence{
		"full":   full(t),
		"empty":  {},
		"record": {LastRecord: &LastRecord{Timestamp: Time{time.UnixMilli(0)}, Fix: "ok"}},
	} {
		c := compactOf(&p)
		if got := c.presence(); !reflect.DeepEqual(got, p) {
			t.Errorf("%s: got %+v, want %+v", name, got, p)
		}
		if got := compactTallyOf(p.tally()).tally(); got != p.tally() {
			t.Errorf("%s: got %+v, want %+v", name, got, p.tally())
		}
	}
}

// TestUsualDevice has a device do what most do: nothing rare is kept of it, and no frame of it needs memory.
func TestUsualDevice(t *testing.T) {
	d := &Device{memory: &Memory{process: unique.Make(process{instance: "gate-1"})}}
	now := time.Now()
	d.LoggedIn(Visit{At: now, Address: "192.0.2.1:4000", Transport: "tcp"})
	frame := func() {
		last := LastRecord{Timestamp: Time{now}, Fix: "ok", Latitude: 1, Longitude: 2, Speed: 3}
		d.Stored(Outcome{At: now, Stored: 2, Last: last})
		d.Heard(Frame{Received: now, Codec: "8E", Acknowledged: 2})
	}
	frame()
	if n := testing.AllocsPerRun(100, frame); n > 0 {
		t.Errorf("a frame takes %v allocations", n)
	}
	d.presenceKept(new(d.track.presence.presence()))
	if d.track.presence.rare != nil || d.track.kept.all != nil {
		t.Errorf("kept as if it were rare: %+v, %+v", d.track.presence.rare, d.track.kept.all)
	}
	const most = 416 // bytes, a size that Go allocates
	if size := unsafe.Sizeof(*d); size > most {
		t.Errorf("a device takes %d bytes, %d are meant", size, most)
	}
}
