package explain

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// truth is what the elements of a packet are, without any guess: on each family that knows all of them in just these
// widths, straight from the dictionary's rows. There is none if no family does.
type truth struct {
	known [meaning.FM11 + 1]map[meaning.Element]map[string]bool // by family and pair: names
}

func newTruth() *truth {
	t := new(truth)
	for d := range meaning.Embedded().Definitions() {
		pair := meaning.Element{ID: d.ID, Width: d.Width}
		for _, f := range d.Families {
			if t.known[f] == nil {
				t.known[f] = map[meaning.Element]map[string]bool{}
			}
			if t.known[f][pair] == nil {
				t.known[f][pair] = map[string]bool{}
			}
			t.known[f][pair][d.Name] = true
		}
	}
	return t
}

func pairOf(e teltonika.Element) meaning.Element {
	return meaning.Element{ID: e.ID, Width: meaning.Width(e.Group)}
}

// families are those that know all elements of the packet.
func (t *truth) families(p *Packet) (all []meaning.Family) {
	for _, f := range meaning.Families() {
		if !slices.ContainsFunc(p.AVL.Records, func(r teltonika.Record) bool {
			return slices.ContainsFunc(r.Elements, func(e teltonika.Element) bool { return t.known[f][pairOf(e)] == nil })
		}) {
			all = append(all, f)
		}
	}
	return all
}

// labels counts what the text of packets says of elements.
type labels struct{ elements, named, judged, wrong, faults int }

// judge compares the names that the packet's text has for elements with the truth.
func (l *labels) judge(t *testing.T, known *truth, p *Packet, report bool) {
	families := known.families(p)
	for i := range p.AVL.Records {
		r := &p.AVL.Records[i]
		for _, sent := range r.Elements {
			l.elements++
			e := element{sent.ID, sent.Group, elementBytes(r, sent), p.reader, nil}
			_, name, _ := strings.Cut(e.name(), " ")
			if strings.HasPrefix(name, "(") {
				continue
			}
			l.named++
			if v, _ := e.decode(); v.Fault != "" {
				l.faults++
			}
			if len(families) > 0 {
				l.judged++
			}
			if wrong := slices.IndexFunc(families, func(f meaning.Family) bool {
				return !known.known[f][pairOf(sent)][name]
			}); wrong >= 0 {
				if l.wrong++; report && l.wrong < 10 {
					t.Errorf("%x: %s, on %v %v", p.Raw, e.name(), families[wrong],
						slices.Collect(maps.Keys(known.known[families[wrong]][pairOf(sent)])))
				}
			}
		}
	}
}

// TestNothingMislabelled compares the names of all elements of the traffic with those that every family has which may
// have sent them.
func TestNothingMislabelled(t *testing.T) {
	known := newTruth()
	var got, asFMB labels
	for _, frame := range traffic(t) {
		for p := range Line(frame, TCP) {
			got.judge(t, known, p, true)
		}
		devices := Devices{Identity: meaning.Identity{Family: meaning.FMB, By: meaning.ByMap}}
		for p := range devices.Line(frame, TCP) {
			asFMB.judge(t, known, p, false)
		}
	}
	t.Logf("%+v; all taken for FMB: %+v", got, asFMB)
	if got.elements != 164252 || got.named*1000 < got.elements*970 || got.judged != got.named || got.wrong != 0 {
		t.Errorf("%+v", got)
	}
	if got.faults != 5752 { // sensors' error codes, which read like numbers
		t.Errorf("%d faults", got.faults)
	}
	if asFMB.wrong != 7100 {
		t.Errorf("the truth finds %d wrong where everything is taken for FMB", asFMB.wrong)
	}
}
