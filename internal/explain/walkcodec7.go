package explain

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Codec 7 has a layout of its own, in which masks say what is there. Its elements are not named, because their ids are
// not those of newer devices: 1, a digital input there, counts up to 100 here.

// groupsOf7 are the groups of Codec 7, in the order of their bits in the global mask, from the second on.
var groupsOf7 = []teltonika.Group{teltonika.Group1, teltonika.Group2, teltonika.Group4}

// gpsParts7 are the parts of the GPS element, in the order of their bits in the GPS mask. Fields that share a bit come
// together.
var gpsParts7 = [8][]headField{
	{{"latitude", 4, float}, {"longitude", 4, float}},
	{{"altitude", 2, metres}},
	{{"angle", 1, turn}},
	{{"speed", 1, kmh}},
	{{"satellites", 1, number}},
	{{"LAC", 2, number}, {"CID", 2, number}},
	{{"signal", 1, number}},
	{{"operator", 4, number}},
}

func (w *walker) record7(decoded *teltonika.Record) {
	w.take("timestamp", 4, priorityAndTime)
	mask := w.take("global mask", 1, globalMask)
	if mask == nil {
		return
	}
	if mask[0]&1 != 0 {
		w.gpsElement()
	}
	if decoded != nil {
		w.remark("fix", fixMeaning7(decoded))
	}
	layout := recordLayout{idSize: 1, countSize: 1, unnamed: true}
	for i, g := range groupsOf7 {
		if mask[0]>>(i+1)&1 != 0 {
			w.group(layout, g)
		}
	}
}

func (w *walker) gpsElement() {
	mask := w.take("GPS mask", 1, gpsMask)
	if mask == nil {
		return
	}
	for i, part := range gpsParts7 {
		size := len(part) * part[0].size
		if mask[0]>>i&1 == 0 || !w.fits(part[0].name, size) {
			continue
		}
		for _, f := range part {
			w.take(f.name, f.size, f.describe)
		}
	}
}

// epoch7 is the start of 2007, from which Codec 7 counts, in s since 1970 UTC.
const epoch7 = 1167609600

func priorityAndTime(b []byte) string {
	word := uintOf(b)
	ms := (word&(1<<30-1) + epoch7) * 1000
	text := fmt.Sprintf("%s (%d ms), priority %d", isoTime(ms), ms, word>>30)
	if word>>30 == 3 {
		text += " (alarm)"
	}
	return text
}

func globalMask(b []byte) string {
	names := []string{"GPS element"}
	for _, g := range groupsOf7 {
		names = append(names, "elements "+groupMeaning(g))
	}
	return maskMeaning(b[0], names)
}

func gpsMask(b []byte) string {
	var names []string
	for _, part := range gpsParts7 {
		name := part[0].name
		for _, f := range part[1:] {
			name += " and " + f.name
		}
		names = append(names, name)
	}
	return maskMeaning(b[0], names)
}

// maskMeaning lists what a mask says is there. A bit without a name has no known meaning.
func maskMeaning(mask byte, names []string) string {
	var set []string
	for i := range 8 {
		switch {
		case mask>>i&1 == 0:
		case i < len(names):
			set = append(set, names[i])
		default:
			set = append(set, fmt.Sprintf("bit %d, which has no known meaning", i))
		}
	}
	if set == nil {
		return "nothing"
	}
	return strings.Join(set, ", ")
}

// float is a coordinate in degrees that was sent as a 32-bit float, as it is published.
func float(b []byte) string {
	v := floatOf(b)
	if scaled := math.RoundToEven(v * 1e7); !(scaled >= math.MinInt32 && scaled <= math.MaxInt32) {
		return fmt.Sprintf("%g°: no place on the globe, not published", v)
	}
	return fmt.Sprintf("%.7f°", math.RoundToEven(v*1e7)/1e7)
}

func floatOf(b []byte) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(b))) }

func turn(b []byte) string { return fmt.Sprintf("%v° (%d × 360/256)", angle7(b[0]), b[0]) }

func angle7(b byte) int { return int(math.RoundToEven(float64(b) * 360 / 256)) }

func fixMeaning7(r *teltonika.Record) string {
	switch {
	case !r.Has(teltonika.FieldCoordinates):
		return "none (no coordinates)"
	case r.Longitude < -180e7 || r.Longitude > 180e7 || r.Latitude < -90e7 || r.Latitude > 90e7:
		return "none (off the globe)"
	case r.Satellites > 0:
		return "ok"
	case r.Longitude == 0 && r.Latitude == 0:
		return "none (no satellites)"
	case !r.Has(teltonika.FieldSatellites):
		return "ok (how many satellites is not said)"
	}
	return "stale (no satellites: the last known place)"
}
