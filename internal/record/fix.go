package record

import "git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

// Fix says how far a record's position can be trusted, told from the record alone.
type Fix string

const (
	// FixOK: a place on the globe, with satellites in use. Codec 7 may leave out their number.
	FixOK Fix = "ok"
	// FixStale: no satellites; the device repeats the last place that it knew.
	FixStale Fix = "stale"
	// FixNone: no satellites and no place yet (0, 0), or coordinates off the globe, or none at all (Codec 7).
	FixNone Fix = "none"
)

// The globe's limits in 1e-7 degree.
const (
	maxLatitude  = 90_0000000
	maxLongitude = 180_0000000
)

// FixOf is how far a record's position can be trusted.
func FixOf(r *teltonika.Record) Fix {
	switch {
	case !r.Has(teltonika.FieldCoordinates) || r.Latitude > maxLatitude || r.Latitude < -maxLatitude ||
		r.Longitude > maxLongitude || r.Longitude < -maxLongitude:
		return FixNone
	case r.Satellites > 0:
		return FixOK
	case r.Latitude == 0 && r.Longitude == 0:
		return FixNone
	case !r.Has(teltonika.FieldSatellites):
		return FixOK
	}
	return FixStale
}
