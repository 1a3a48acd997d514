package meaning

import (
	"fmt"
	"sync"
	"testing"
	"unsafe"
)

// learn has a device learn from a record of these pairs if it has to, as whoever reads records does.
func learn(v *Device, elements ...Element) (r *Reader, asked bool) {
	l := NewLayout
	for _, el := range elements {
		l = l.Add(el.ID, el.Width, el.Number)
	}
	if v.Knows(l) {
		return v.Current(), false
	}
	return v.Learn(l, elements), true
}

func TestDevice(t *testing.T) {
	v := NewDevice(Embedded(), imei)
	speed, distance := Element{80, Width4, 1}, Element{113, Width4, 1}
	r, asked := learn(v, speed, distance)
	if !asked || r.Family() != FMX6 || r.By() != ByElements || r.Model() != "" {
		t.Errorf("%v", r)
	}
	_, _, revision := v.State()
	if _, asked := learn(v, Element{80, Width4, 2}, Element{113, Width4, 3}); asked {
		t.Error("asked again for the same layout")
	}
	if _, asked := learn(v, distance); !asked {
		t.Error("another layout was not asked for")
	}
	if _, _, same := v.State(); same != revision {
		t.Error("a revision without anything new")
	}
	if _, asked := learn(v, speed, distance, Element{25, Width2, 300}); !asked {
		t.Error("a new element was not asked for")
	}
	if _, asked := learn(v, speed, distance, Element{25, Width2, 3200}); !asked || !state(v).NewScale() {
		t.Error("a temperature that proves something was not asked for")
	}

	v.Identify(Identity{Model: "FMC130", By: ByMap})
	if got := v.Current().String(); got != "fmb FMC130 by map, 2026.11, of 1" {
		t.Error(got)
	}
	v.Use(overridden(t, "imei:"+imei+"\t9\t2\ttank\tnumber"))
	if got := says(v.Current(), 9, 7); got != "tank=7" {
		t.Error(got)
	}
	v.Use(Embedded())
	v.Identify(Identity{})
	other := NewDevice(Embedded(), imei)
	kept, _, _ := v.State()
	other.Restore(kept)
	if other.Current() != v.Current() || v.IMEI() != imei {
		t.Errorf("%v, restored %v", v.Current(), other.Current())
	}
}

func state(v *Device) *Evidence {
	e, _, _ := v.State()
	return &e
}

// TestDeviceIsShared by those who read, learn, reload and identify at the same time.
func TestDeviceIsShared(t *testing.T) {
	v := NewDevice(Embedded(), imei)
	dictionaries := []*Dictionary{Embedded(), overridden(t, "*\t9\t2\ttank\tnumber")}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 300 {
				r, _ := learn(v, Element{uint16(i), Width(worker), 0}, Element{21, Width1, 0})
				if text, _ := member(r, 21, Width1, 4, nil); text != `,"gsm.signal.level":4` && text != "" {
					t.Error(text)
				}
				switch {
				case worker == 0:
					v.Use(dictionaries[i%2])
				case worker == 1 && i%10 == 0:
					v.Identify(Identity{Model: fmt.Sprint("FMB", i), By: ByGetver})
				}
			}
		})
	}
	wg.Wait()
}

// TestLearningIsCheap: the elements of a device that is known are read without an allocation.
func TestLearningIsCheap(t *testing.T) {
	v := NewDevice(Embedded(), imei)
	elements := []Element{{21, Width1, 4}, {66, Width2, 12044}, {239, Width1, 1}, {16, Width4, 123456}}
	learn(v, elements...)
	out, faults := make([]byte, 0, 1024), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		r, _ := learn(v, elements...)
		out = out[:0]
		for _, el := range elements {
			out = r.AppendNumber(out, &faults, el.ID, el.Width, el.Number)
		}
		out = r.AppendDevice(out)
	}); n > 0 {
		t.Errorf("%v allocations: %s", n, out)
	}
}

// TestDeviceIsSmall: there is one for each device of a fleet, and what many say of themselves is there once.
func TestDeviceIsSmall(t *testing.T) {
	const most = 144 // bytes, a size that Go allocates
	if size := unsafe.Sizeof(Device{}); size > most {
		t.Errorf("a device takes %d bytes, %d are meant", size, most)
	}
}
