package meaning

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// member is what a reader writes of an element, and whether it is a fault.
func member(r *Reader, id uint16, w Width, number uint64, bytes []byte) (text string, fault bool) {
	var out, faults []byte
	if w == WidthX {
		out = r.AppendBytes(nil, &faults, id, bytes)
	} else {
		out = r.AppendNumber(nil, &faults, id, w, number)
	}
	if len(faults) > 0 {
		return string(faults), true
	}
	return string(out), false
}

// checkMember compares what is written into a record with what people are told, and whether it is JSON.
func checkMember(t *testing.T, r *Reader, id uint16, w Width, number uint64, bytes []byte) {
	t.Helper()
	raw := bytes
	if w < Width16 {
		number &= math.MaxUint64 >> (64 - 8*w.Size())
		raw = rawOf(number, w)
	}
	text, fault := member(r, id, w, number, bytes)
	v, why := r.Decode(id, w, raw)
	want := ""
	switch {
	case why != Named:
	case v.Fault != "":
		want = `,"` + v.Name + `":"` + v.Fault + `"`
	default:
		want = `,"` + v.Name + `":` + string(v.JSON)
	}
	if text != want || fault != (v.Fault != "") {
		t.Fatalf("%d of width %v, %x: record %s, people %s (%v)", id, w, raw, text, want, why)
	}
	if text != "" && !json.Valid([]byte("{"+text[1:]+"}")) {
		t.Fatalf("%d of width %v, %x: no JSON: %s", id, w, raw, text)
	}
}

func rawOf(number uint64, w Width) []byte {
	raw := make([]byte, w.Size())
	for i := range raw {
		raw[len(raw)-1-i] = byte(number >> (8 * i))
	}
	return raw
}

// TestQuickOrNot: the short way and the long one write the same.
func TestQuickOrNot(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	numbers := []uint64{0, 1, 9, 10, 99, 999, 1000, 1001, 12044, 65535, 999_999, 1_000_000, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for _, f := range Families() {
		r := Resolve(Embedded(), "1", Identity{Family: f, By: ByMap}, &Evidence{})
		for d := range Embedded().Definitions() {
			if !slices.Contains(d.Families, f) && random.IntN(20) > 0 {
				continue
			}
			for _, n := range append(numbers, random.Uint64(), random.Uint64()>>44) {
				checkMember(t, r, d.ID, d.Width, n, rawOf(n, Width8))
			}
		}
	}
}

// TestNumbers are exact, whatever their scale, and strings where a 64-bit float could not hold all digits.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		raw                uint64
		signed             bool
		multiplier, offset string
		want               string
	}{
		{12044, false, "0.001", "", "12.044"}, {12000, false, "0.001", "", "12"}, {1, false, "0.001", "", "0.001"},
		{0, false, "0.001", "", "0"}, {10, false, "0.1", "", "1"}, {math.MaxUint64, true, "0.1", "", "-0.1"},
		{0, false, "", "-40", "-40"}, {40, false, "", "-40", "0"}, {41, false, "", "-40", "1"}, {39, false, "", "-40", "-1"},
		{5, false, "0.4", "-125.25", "-123.25"}, {3, false, "0.03125", "", "0.09375"}, {7, false, "10", "", "70"},
		{1 << 53, false, "", "", "9007199254740992"}, {1<<53 + 1, false, "", "", `"9007199254740993"`},
		{math.MaxUint64, false, "", "", `"18446744073709551615"`}, {1 << 63, true, "", "", `"-9223372036854775808"`},
		{math.MaxUint64, false, "0.001", "", `"18446744073709551.615"`},
		{math.MaxUint64, false, "10", "", `"184467440737095516150"`},
		{math.MaxUint64, false, "999999999", "999999999", `"18446744055262807542290448384"`},
		{math.MaxUint64 - 615, false, "0.03125", "", `"576460752303423468.75"`},
		{math.MaxUint64, true, "2", "2", "0"}, {math.MaxUint64, true, "2", "1", "-1"},
	} {
		d := Definition{Width: Width8, Name: "n", Signed: c.signed, Multiplier: c.multiplier, Offset: c.offset}
		if got := d.Decode(rawOf(c.raw, Width8), false); string(got.JSON) != c.want {
			t.Errorf("%d × %s + %s: %s, expected %s", c.raw, c.multiplier, c.offset, got.JSON, c.want)
		}
	}
}

// TestLegacyScale: only a device that says that its firmware is old is read with the old scale, until it proves not to.
func TestLegacyScale(t *testing.T) {
	old := Identity{Model: "FMB920", Firmware: "03.27.07_00", By: ByGetver}
	proof := Element{25, Width2, 0x7FFF}
	for _, c := range []struct {
		who     Identity
		proof   []Element
		number  uint16
		want    string
		wantOld bool
	}{
		{old, nil, 271, "ble.sensor.temperature.1=27.1 °C", true},
		{old, nil, 3000, "ble.sensor.temperature.1!sensor_not_found_legacy", true},
		{old, []Element{proof}, 3000, "ble.sensor.temperature.1=30 °C", false},
		{old, []Element{{26, Width2, 2713}}, 271, "ble.sensor.temperature.1=2.71 °C", false},
		{old, []Element{{26, Width2, 3000}, {27, Width2, 1250}, {25, Width4, 9999}, {29, Width2, 9999}}, 271,
			"ble.sensor.temperature.1=27.1 °C", true},
		{Identity{Model: "FMB920", Firmware: "03.28.00_00"}, nil, 3000, "ble.sensor.temperature.1=30 °C", false},
		{Identity{Model: "FMB920", Firmware: "04.01.00"}, nil, 271, "ble.sensor.temperature.1=2.71 °C", false},
		{Identity{Model: "FMB920", Firmware: "any"}, nil, 271, "ble.sensor.temperature.1=2.71 °C", false},
		{Identity{Model: "FMB920"}, nil, 0x7FFF, "ble.sensor.temperature.1!sensor_not_found", false},
		{Identity{Model: "FMB640", Firmware: "03.20.00"}, nil, 271, "can.engine.temperature=27.1 °C", true},
		{Identity{Model: "FTC881"}, nil, 3000, "ble.sensor.temperature.1!sensor_not_found", false},
	} {
		var e Evidence
		for _, el := range c.proof {
			e.Add(Embedded(), el)
		}
		r := Resolve(Embedded(), "1", c.who, &e)
		if got := says(r, 25, c.number); got != c.want || r.Legacy() != c.wantOld {
			t.Errorf("%+v %v: %s, legacy %v, expected %s, %v", c.who, c.proof, got, r.Legacy(), c.want, c.wantOld)
		}
	}
}

// TestModelsDiffer: the same bit says the opposite on two models, so nothing is said while the model is not known.
func TestModelsDiffer(t *testing.T) {
	for model, want := range map[string]string{
		"FMC130": "can.indicator.esp.off", "FMC150": "can.indicator.esp.on", "": "ambiguous", "FMB999": "ambiguous",
	} {
		r := Resolve(Embedded(), "1", Identity{Family: FMB, Model: model, By: ByMap}, &Evidence{})
		v, why := r.Decode(956, Width1, []byte{1})
		if v.Name != want && why.String() != want {
			t.Errorf("%q: %v %v", model, v, why)
		}
	}
}

// TestDoubtful: nothing is given that the sources contradict each other about.
func TestDoubtful(t *testing.T) {
	n := 0
	for d := range Embedded().Definitions() {
		if d.Confidence != Doubtful {
			continue
		}
		n++
		for _, f := range d.Families {
			r := Resolve(Embedded(), "1", Identity{Family: f, By: ByMap}, &Evidence{})
			if text, _ := member(r, d.ID, d.Width, 1, []byte{1}); text != "" {
				t.Errorf("%v, %d of width %v: %s", f, d.ID, d.Width, text)
			}
		}
	}
	if n == 0 {
		t.Error("none")
	}
}

// TestReadersAreShared, and as few tables as there are sets of candidates.
func TestReadersAreShared(t *testing.T) {
	who := Identity{Model: "FMC130", By: ByMap}
	if Resolve(Embedded(), "1", who, &Evidence{}) != Resolve(Embedded(), "2", who, &Evidence{}) {
		t.Error("two readers for one model")
	}
	d := compileDictionary("test", Embedded().definitions)
	for i := range 2 * maxReaders {
		Resolve(d, "1", Identity{Model: fmt.Sprint("FMB", 10_000+i), By: ByGetver}, &Evidence{})
	}
	if len(d.cache.tables) != 1 || len(d.cache.readers) > maxReaders {
		t.Errorf("%d tables, %d readers", len(d.cache.tables), len(d.cache.readers))
	}
}

// TestTablesFindRoom: whatever devices send and say of themselves, there is room for all tables that can be made.
func TestTablesFindRoom(t *testing.T) {
	d := compileDictionary("test", Embedded().definitions)
	pairs := map[pair]bool{}
	for f := range d.rules {
		for p := range d.rules[f] {
			pairs[p] = true
		}
	}
	all := slices.Sorted(maps.Keys(pairs))
	random := rand.New(rand.NewPCG(1, 2))
	keys := map[tableKey]bool{}
	for range 400_000 {
		var e Evidence
		for range 1 + random.IntN(12) {
			p := all[random.IntN(len(all))]
			e.Add(d, Element{ID: p.id(), Width: Width(random.IntN(4))})
		}
		var key tableKey
		key.best, key.candidates = d.candidates(Identity{}, &e)
		keys[key] = true
	}
	const scales = 2
	if most := scales * (len(keys) + families*len(d.examples)); len(keys) < 400 || most > maxTables {
		t.Errorf("%d sets of candidates, %d classes of models: %d tables", len(keys), len(d.examples), most)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(66), uint8(1), uint8(1), uint64(12044), []byte("text"))
	f.Add(uint16(256), uint8(5), uint8(0), uint64(0), []byte("caf\xe9\x00 \"\\\n"))
	f.Add(uint16(132), uint8(3), uint8(2), uint64(math.MaxUint64), []byte{})
	f.Fuzz(func(t *testing.T, id uint16, width, who uint8, number uint64, bytes []byte) {
		identity := Identity{Family: Family(who) % 8, By: ByMap}
		if who&0x80 != 0 {
			identity.Firmware = "03.10.00"
		}
		r := Resolve(Embedded(), "1", identity, &Evidence{})
		checkMember(t, r, id, []Width{Width1, Width2, Width4, Width8, WidthX}[width%5], number, bytes)
		for _, w := range []Width{Width16, WidthX + 1, 0xFF} {
			if text, _ := member(r, id, w, number, bytes); text != "" {
				t.Errorf("%d of width %v: %s", id, w, text)
			}
		}
	})
}
