package meaning

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// models are what the simulated fleets are made of: those that the vendor has tables of, and those that rows are for.
var models = []string{
	"FM3001", "FM3010", "FMB001", "FMB002", "FMB003", "FMB010", "FMB020", "FMB100", "FMB110", "FMB120", "FMB122", "FMB125",
	"FMB130", "FMB140", "FMB150", "FMB202", "FMB204", "FMB206", "FMB207", "FMB208", "FMB209", "FMB225", "FMB230", "FMB240",
	"FMB250", "FMB640", "FMB641", "FMB900", "FMB910", "FMB920", "FMB930", "FMB962", "FMB964", "FMB965", "FMC001", "FMC003",
	"FMC00A", "FMC120", "FMC122", "FMC125", "FMC130", "FMC13A", "FMC150", "FMC225", "FMC230", "FMC234", "FMC250", "FMC640",
	"FMC650", "FMC800", "FMC880", "FMC920", "FMM001", "FMM003", "FMM125", "FMM130", "FMM13A", "FMM150", "FMM230", "FMM250",
	"FMM640", "FMM650", "FMM800", "FMM80A", "FMM880", "FMM920", "FMP100", "FMP1M1", "FMT100", "FMU120", "FMU122", "FMU125",
	"FMU126", "FMU130", "GH5200", "MSP500", "MTB100", "TAT100", "TAT140", "TAT141", "TAT240", "TFT100", "TMT250", "TST100",
	"ATC700", "ATC704", "ATM700", "ATM704", "FTC134", "FTC881", "FTC921", "FTM887", "FM6300", "FM6320", "FM3600", "FM3612",
	"FM3622", "FM36M1", "FM1000", "FM1100", "FM1110", "FM1120", "FM1122", "FM1125", "FM1202", "FM1204",
}

// table is what a model has: for each pair the definitions that it may be. They are several only where the dictionary
// does not say which one the model's is.
func modelTable(d *Dictionary, model string) map[pair][]*Definition {
	f := FamilyOfModel(model)
	all := map[pair][]*Definition{}
	for p := range d.rules[f] {
		all[p] = d.Lookup(f, model, p.id(), p.width())
	}
	return all
}

// sent is one element of a simulated device.
type sent struct {
	p   pair
	raw []byte
}

// perDevice is how many records in a row of a fleet are one device's.
const perDevice = 4

// fleet simulates records of one model. A device is set up to send up to 40 elements of its table, and sends most of
// them with each record: some with error codes and words, the rest random.
func fleet(table map[pair][]*Definition, random *rand.Rand, records int) (all [][]sent) {
	pairs := slices.Sorted(maps.Keys(table))
	var setUp []int
	for i := range records {
		if i%perDevice == 0 {
			setUp = random.Perm(len(pairs))[:min(len(pairs), 1+random.IntN(40))]
		}
		var r []sent
		for _, i := range setUp {
			if random.IntN(8) > 0 {
				r = append(r, sent{pairs[i], rawValue(table[pairs[i]][0], random)})
			}
		}
		all = append(all, r)
	}
	return all
}

// rawValue is bytes that an element of this definition may have.
func rawValue(d *Definition, random *rand.Rand) []byte {
	number := random.Uint64() >> random.IntN(64)
	switch {
	case len(d.Invalid) > 0 && random.IntN(3) == 0:
		number = uint64(d.Invalid[random.IntN(len(d.Invalid))].Number)
	case len(d.Enum) > 0 && random.IntN(3) > 0:
		number = uint64(d.Enum[random.IntN(len(d.Enum))].Number)
	case d.Type == Bool:
		number = uint64(random.IntN(2))
	}
	size := d.Width.Size()
	if d.Width == WidthX {
		size = random.IntN(20)
	}
	raw := make([]byte, size)
	for i := range raw {
		raw[size-1-i] = byte(number >> (8 * (i % 8)))
	}
	return raw
}

// tally is how many elements have a meaning, and how many of these a wrong one.
type tally struct{ all, named, wrong int }

func (n tally) String() string {
	return fmt.Sprintf("%d elements, %.1f %% named, %.3f %% of these wrong",
		n.all, 100*float64(n.named)/float64(n.all), 100*float64(n.wrong)/float64(max(n.named, 1)))
}

// read has devices of a model read by a dictionary, each as one of which nothing is known, and compares with the table.
func (n *tally) read(t *testing.T, d *Dictionary, table map[pair][]*Definition, records [][]sent) {
	t.Helper()
	device := NewDevice(d, "356307042441013")
	for i, r := range records {
		if i%perDevice == 0 {
			device = NewDevice(d, "356307042441013")
		}
		reader := device.Learn(Layout(i), elementsOf(r))
		for _, el := range r {
			n.all++
			v, why := reader.Decode(el.p.id(), el.p.width(), el.raw)
			if why != Named {
				continue
			}
			n.named++
			for _, own := range table[el.p] {
				if want := own.Decode(el.raw, false); !same(v, want) {
					n.wrong++
					t.Logf("%v: %d of width %v, %x: %v, expected %v", reader, el.p.id(), el.p.width(), el.raw, v, want)
					break
				}
			}
		}
	}
}

func elementsOf(r []sent) (all []Element) {
	for _, el := range r {
		all = append(all, Element{el.p.id(), el.p.width(), bigEndian(el.raw)})
	}
	return all
}

func same(a, b Value) bool {
	return a.Name == b.Name && a.Unit == b.Unit && string(a.JSON) == string(b.JSON) && a.Fault == b.Fault
}

// TestFleetOfEveryModel: no device of any model is read wrong, however little of it is known.
func TestFleetOfEveryModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var n tally
	for _, model := range models {
		table := modelTable(Embedded(), model)
		if len(table) == 0 {
			t.Fatalf("%s: no elements", model)
		}
		n.read(t, Embedded(), table, fleet(table, random, 60))
	}
	t.Log(n)
	if n.wrong > 0 || n.named < n.all/2 {
		t.Error(n)
	}
}

// TestPinnedOnlyAddsValues: what is known of a device's model adds values and changes none.
func TestPinnedOnlyAddsValues(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	more := 0
	for _, model := range models {
		table := modelTable(Embedded(), model)
		pinned := Resolve(Embedded(), "1", Identity{Model: model, By: ByMap}, &Evidence{})
		for _, r := range fleet(table, random, 20) {
			var e Evidence
			for _, el := range elementsOf(r) {
				e.Add(Embedded(), el)
			}
			unpinned := Resolve(Embedded(), "1", Identity{}, &e)
			byFamily := Resolve(Embedded(), "1", Identity{Family: FamilyOfModel(model), By: ByMap}, &e)
			for _, el := range r {
				least, why := unpinned.Decode(el.p.id(), el.p.width(), el.raw)
				middle, whyMiddle := byFamily.Decode(el.p.id(), el.p.width(), el.raw)
				most, whyMost := pinned.Decode(el.p.id(), el.p.width(), el.raw)
				if why == Named && !same(least, middle) || whyMiddle == Named && !same(middle, most) {
					t.Errorf("%s: %d of width %v, %x: %v, %v, %v", model, el.p.id(), el.p.width(), el.raw, least, middle, most)
				}
				if whyMost == Named && why != Named {
					more++
				}
			}
		}
	}
	if more == 0 {
		t.Error("a model has added nothing")
	}
}

// TestFleetOfAnIncompleteDictionary reports how much is wrong while a tenth of what a family has is not known yet. Most
// of it is of the oldest families, which have few elements, and nearly all of them in common with younger ones.
func TestFleetOfAnIncompleteDictionary(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var all tally
	for _, f := range Families() {
		var known []Definition
		for d := range Embedded().Definitions() {
			if slices.Contains(d.Families, f) && random.IntN(10) == 0 {
				less := *d
				less.Families = slices.DeleteFunc(slices.Clone(d.Families), func(o Family) bool { return o == f })
				d = &less
			}
			known = append(known, *d)
		}
		incomplete := compileDictionary("test", known)
		var n tally
		for _, model := range models {
			if FamilyOfModel(model) == f {
				table := modelTable(Embedded(), model)
				n.readQuietly(incomplete, table, fleet(table, random, 400/(1+len(models)/10)))
			}
		}
		t.Logf("%v: %v", f, n)
		if f <= FT && n.wrong*200 > n.named {
			t.Errorf("%v, of which there are new devices: more than half a percent wrong", f)
		}
		all.all, all.named, all.wrong = all.all+n.all, all.named+n.named, all.wrong+n.wrong
	}
	t.Log(all)
	if all.wrong*50 > all.named {
		t.Error("more than two percent wrong")
	}
}

// readQuietly is read where something wrong is expected.
func (n *tally) readQuietly(d *Dictionary, table map[pair][]*Definition, records [][]sent) {
	n.read(new(testing.T), d, table, records)
}

// TestOrderOfElements: in whatever order elements come, the same is kept and the same is said.
func TestOrderOfElements(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		model := models[random.IntN(len(models))]
		var all []Element
		for _, r := range fleet(modelTable(Embedded(), model), random, 1+random.IntN(8)) {
			all = append(all, elementsOf(r)...)
		}
		all = append(all, Element{uint16(random.IntN(1200)), Width(random.IntN(int(widths))), 0})
		var first []byte
		for range 4 {
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			var e Evidence
			for _, el := range all {
				e.Add(Embedded(), el)
			}
			kept, _ := e.MarshalBinary()
			if first == nil {
				first = kept
			}
			if string(kept) != string(first) {
				t.Fatalf("%s, %d elements: in another order something else is kept", model, len(all))
			}
		}
	}
}
