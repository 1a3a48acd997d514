package meaning

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// TestEvidenceIsBounded: it keeps the pairs that tell most, and what tells nothing is not kept at all.
func TestEvidenceIsBounded(t *testing.T) {
	var e Evidence
	d := Embedded()
	for id := range uint16(3000) {
		for w := range Width(widths) {
			e.Add(d, Element{ID: id, Width: w})
		}
	}
	if len(e.Pairs()) != MaxPairs {
		t.Fatalf("%d pairs", len(e.Pairs()))
	}
	var least int8 = contradiction
	for _, p := range e.Pairs() {
		least = min(least, d.hear(newPair(p.ID, p.Width)).spread)
	}
	if least != contradiction {
		t.Errorf("keeps a pair that tells %d", least)
	}
	for _, el := range []Element{{1, Width1, 0}, {64999, Width1, 0}, {66, Width16, 0}, {66, 0xFF, 0}} {
		var none Evidence
		if none.Add(d, el) || len(none.Pairs()) > 0 {
			t.Errorf("%v tells something", el)
		}
	}
}

func TestEvidenceBinary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var e, back, merged Evidence
		for range random.IntN(100) {
			e.Add(Embedded(), Element{uint16(random.IntN(1000)), Width(random.IntN(4)), random.Uint64()})
		}
		b, err := e.MarshalBinary()
		if err != nil || len(b) > 2+3*MaxPairs {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		merged.Merge(Embedded(), back)
		again, _ := merged.MarshalBinary()
		if string(again) != string(b) || merged.NewScale() != e.NewScale() {
			t.Errorf("%x becomes %x", b, again)
		}
		clone := e.Clone()
		clone.Add(Embedded(), Element{ID: 80, Width: Width4})
		clone.Add(Embedded(), Element{ID: 113, Width: Width4})
		if after, _ := e.MarshalBinary(); string(after) != string(b) {
			t.Error("a clone shares something")
		}
	}
	for _, wrong := range []string{
		"", "\x01", "\x02\x00", "\x01\x02", "\x01\x00\x00\x19", "\x01\x00\x00\x19\x04", "\x01\x00\x00\x19\x06",
		"\x01\x00\x00\x19\x01\x00\x19\x01", "\x01\x00\x00\x19\x01\x00\x18\x01",
		"\x01\x00" + string(make([]byte, 3*MaxPairs+3)),
	} {
		e := Evidence{newScale: true}
		if err := e.UnmarshalBinary([]byte(wrong)); !errors.Is(err, ErrEvidence) || !e.newScale {
			t.Errorf("%x: %v", wrong, err)
		}
	}
}

func FuzzEvidence(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x19\x01\x00\x50\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Evidence
		if e.UnmarshalBinary(b) != nil {
			return
		}
		if again, _ := e.MarshalBinary(); string(again) != string(b) {
			t.Fatalf("%x becomes %x", b, again)
		}
		var merged Evidence
		merged.Merge(Embedded(), e)
		Resolve(Embedded(), imei, Identity{}, &e)
		if len(merged.Pairs()) > MaxPairs {
			t.Fatalf("%d pairs", len(merged.Pairs()))
		}
	})
}

// TestStrangeElementsAreCheap: a device that has said all that is kept costs little with whatever it sends then.
func TestStrangeElementsAreCheap(t *testing.T) {
	var e Evidence
	var layout Layout
	elements := make([]Element, 0, 20_000)
	for i := range cap(elements) {
		elements = append(elements, Element{ID: uint16(i), Width: Width(i % 4)})
		e.Add(Embedded(), elements[i])
	}
	looking, learning := time.Hour, time.Hour
	for range 20 { // the best of some: other processes run, too
		start := time.Now()
		for _, el := range elements {
			layout = layout.Add(el.ID, el.Width, el.Number)
		}
		looking = min(looking, time.Since(start))
		start = time.Now()
		for _, el := range elements {
			e.Add(Embedded(), el)
		}
		learning = min(learning, time.Since(start))
	}
	if learning > 40*looking {
		t.Errorf("%v to learn nothing from %d elements, %v to look at them", learning, len(elements), looking)
	}
	t.Log(learning, looking, layout)
}
