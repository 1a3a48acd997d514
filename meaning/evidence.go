package meaning

import (
	"encoding/binary"
	"errors"
	"slices"
)

// knownWidths are the widths in which each family knows an id, one bit each.
type knownWidths [families + 1]uint8

// Points that a family loses, in halves, and what it begins with.
const (
	contradiction = 12 // for a pair of which it knows the id in other widths only
	unknown       = 3  // for a pair of which it does not know the id
	margin        = 12 // a family is a candidate within this of the best
)

var prior = [families + 1]int{FMB: 0, FMX6: -2, TAT: -3, FT: -3, FM63: -5, FM36: -6, FM11: -7}

// testimony is what a pair says of a device's family.
type testimony struct {
	lost   [families + 1]int8 // by each family
	spread int8               // how much that tells the families apart; 0 is not at all
}

func newTestimony(known knownWidths, w Width) (t testimony) {
	for f := FMB; f <= FM11; f++ {
		switch {
		case known[f]>>w&1 != 0:
		case known[f] != 0:
			t.lost[f] = contradiction
		default:
			t.lost[f] = unknown
		}
	}
	t.spread = slices.Max(t.lost[FMB:]) - slices.Min(t.lost[FMB:])
	return t
}

// hearAll finds out what each pair says, so that a device that sends ever new ones costs no more than others.
func (d *Dictionary) hearAll(known map[uint16]knownWidths) {
	d.testimonies = make([]testimony, (d.ids+1)*widths)
	for w := range Width(widths) {
		d.testimonies[w] = newTestimony(knownWidths{}, w) // of ids without a place
		for id, widthsOfID := range known {
			d.testimonies[int(d.places[id])*widths+int(w)] = newTestimony(widthsOfID, w)
		}
	}
}

// hear is what a pair says. An id that only overrides know says as little as one that nobody does.
func (d *Dictionary) hear(p pair) *testimony {
	i := int(d.places[p.id()])*widths + int(p.width())
	if i >= len(d.testimonies) {
		i = int(p.width())
	}
	return &d.testimonies[i]
}

// MaxPairs is how many pairs of id and width an Evidence keeps.
const MaxPairs = 64

// Evidence is what a device's elements say of its family: the pairs of id and width that it has sent. What it keeps
// does not depend on the order in which they came. The zero value is empty. It is not safe for concurrent use.
type Evidence struct {
	pairs    []pair // in rising order, only those that tell families apart
	weakest  int    // where the first to go of MaxPairs is, from 1; 0 if that is to be found out
	newScale bool
}

// Element is an element as evidence.
type Element struct {
	ID     uint16
	Width  Width
	Number uint64 // the value, unsigned; of no meaning for Width16 and WidthX
}

// Add takes in an element and reports whether that changed anything.
func (e *Evidence) Add(d *Dictionary, el Element) (changed bool) {
	if !e.newScale && provesNewScale(el.ID, el.Width, el.Number) {
		e.newScale, changed = true, true
	}
	if el.Width == Width16 || el.Width > WidthX {
		return changed // no family is known to send it
	}
	return e.addPair(d, newPair(el.ID, el.Width)) || changed
}

func (e *Evidence) addPair(d *Dictionary, p pair) bool {
	if d.hear(p).spread == 0 {
		return false
	}
	if len(e.pairs) == MaxPairs {
		if weakest := e.findWeakest(d); !d.tellsMore(p, e.pairs[weakest]) {
			return false // or it is the weakest itself
		}
	}
	i, there := slices.BinarySearch(e.pairs, p)
	if there {
		return false
	}
	if len(e.pairs) == MaxPairs {
		e.pairs = slices.Delete(e.pairs, e.weakest-1, e.weakest)
		i, _ = slices.BinarySearch(e.pairs, p)
	}
	e.pairs, e.weakest = slices.Insert(e.pairs, i, p), 0
	return true
}

// tellsMore is a total order of pairs, the same in all dictionaries: which of two is kept when there is no room for
// both.
func (d *Dictionary) tellsMore(a, b pair) bool {
	if sa, sb := d.hear(a).spread, d.hear(b).spread; sa != sb {
		return sa > sb
	}
	return a < b
}

// findWeakest is where the pair is that tells least.
func (e *Evidence) findWeakest(d *Dictionary) int {
	if e.weakest == 0 {
		e.weakest = 1
		for i := range e.pairs {
			if d.tellsMore(e.pairs[e.weakest-1], e.pairs[i]) {
				e.weakest = i + 1
			}
		}
	}
	return e.weakest - 1
}

// Merge takes in what another one holds, and reports whether that changed anything.
func (e *Evidence) Merge(d *Dictionary, other Evidence) (changed bool) {
	if other.newScale && !e.newScale {
		e.newScale, changed = true, true
	}
	for _, p := range other.pairs {
		changed = e.addPair(d, p) || changed
	}
	return changed
}

// Clone is a copy that shares nothing.
func (e *Evidence) Clone() Evidence { return Evidence{slices.Clone(e.pairs), e.weakest, e.newScale} }

// Pairs are the pairs that are kept, in the order of ids.
func (e *Evidence) Pairs() []Element {
	all := make([]Element, len(e.pairs))
	for i, p := range e.pairs {
		all[i] = Element{ID: p.id(), Width: p.width()}
	}
	return all
}

// NewScale reports whether the device has proved to have the new scale of Bluetooth temperatures.
func (e *Evidence) NewScale() bool { return e.newScale }

// Temperatures of Bluetooth sensors, the only elements with a new and an old scale, each -40.0 to 125.0 °C in the old.
const (
	firstScaled, lastScaled = 25, 28
	oldLowest, oldHighest   = -400, 1250
)

// provesNewScale reports whether an element is a temperature that no old firmware sends: out of the old range, and none
// of the old error codes.
func provesNewScale(id uint16, w Width, number uint64) bool {
	if id < firstScaled || id > lastScaled || w != Width2 {
		return false
	}
	n := int16(number)
	return (n < oldLowest || n > oldHighest) && n != 2000 && n != 3000 && n != 4000
}

// Score is how well a family goes with the evidence: 0 at most, and less for what contradicts it.
type Score struct {
	Family    Family
	Points    float64
	Candidate bool // near enough to the best
}

// Scores are all families, the most likely first.
func (e *Evidence) Scores(d *Dictionary) []Score {
	points := e.points(d)
	scores := make([]Score, 0, families)
	best := slices.Max(points[FMB:])
	for f := FMB; f <= FM11; f++ {
		scores = append(scores, Score{f, float64(points[f]) / 2, points[f] >= best-margin})
	}
	slices.SortStableFunc(scores, func(a, b Score) int { return points[b.Family] - points[a.Family] })
	return scores
}

func (e *Evidence) points(d *Dictionary) [families + 1]int {
	points := prior
	for _, p := range e.pairs {
		for f, lost := range d.hear(p).lost {
			points[f] -= int(lost)
		}
	}
	return points
}

// evidenceFormat is the first byte of an evidence's binary form. After it: 1 if the new scale is proved, else 0; then
// for each pair the id in two bytes, big-endian, and the width in one.
const evidenceFormat = 1

// AppendBinary appends the binary form, 2 to 194 bytes.
func (e *Evidence) AppendBinary(dst []byte) ([]byte, error) {
	dst = append(dst, evidenceFormat, 0)
	if e.newScale {
		dst[len(dst)-1] = 1
	}
	for _, p := range e.pairs {
		dst = append(binary.BigEndian.AppendUint16(dst, p.id()), byte(p.width()))
	}
	return dst, nil
}

// MarshalBinary is the binary form.
func (e *Evidence) MarshalBinary() ([]byte, error) { return e.AppendBinary(nil) }

// ErrEvidence is the error of bytes that are no evidence.
var ErrEvidence = errors.New("no evidence of this version")

// UnmarshalBinary reads what MarshalBinary has made. Its error is ErrEvidence; e is then as it was.
func (e *Evidence) UnmarshalBinary(b []byte) error {
	if len(b) < 2 || len(b) > 2+3*MaxPairs || (len(b)-2)%3 != 0 || b[0] != evidenceFormat || b[1] > 1 {
		return ErrEvidence
	}
	pairs := make([]pair, 0, len(b)/3)
	for rest := b[2:]; len(rest) > 0; rest = rest[3:] {
		w := Width(rest[2])
		p := newPair(binary.BigEndian.Uint16(rest), w&7)
		if w > WidthX || w == Width16 || len(pairs) > 0 && p <= pairs[len(pairs)-1] {
			return ErrEvidence
		}
		pairs = append(pairs, p)
	}
	*e = Evidence{pairs: pairs, newScale: b[1] == 1}
	return nil
}
