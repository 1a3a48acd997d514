package explain

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// meanings7 are the meanings of fields that Codec 7 alone has, or has in another form.
var meanings7 = map[string]func([]byte) string{
	"timestamp":   priorityAndTime,
	"global mask": globalMask,
	"GPS mask":    gpsMask,
	"latitude":    float,
	"longitude":   float,
	"angle":       angleInTurns,
	"LAC":         number,
	"CID":         number,
	"signal":      number,
	"operator":    number,
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
	return maskMeaning(b[0], "GPS element", "elements of 1 byte", "elements of 2 bytes", "elements of 4 bytes")
}

func gpsMask(b []byte) string {
	return maskMeaning(b[0], "latitude and longitude", "altitude", "angle", "speed", "satellites", "LAC and CID", "signal",
		"operator")
}

// maskMeaning lists what a mask says is there. A bit without a name has no known meaning.
func maskMeaning(mask byte, names ...string) string {
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

func angleInTurns(b []byte) string { return fmt.Sprintf("%v° (%d × 360/256)", angle7(b[0]), b[0]) }

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
