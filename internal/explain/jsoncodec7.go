package explain

import (
	"encoding/json"
	"math"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// recordObject7 is what only a record of Codec 7 has: its masks, and what stands behind them as sent. What the record
// lacks has no key, and is 0 where other codecs have it.
type recordObject7 struct {
	GlobalMask byte     `json:"gh_global_mask"`
	GPSMask    *byte    `json:"gh_gps_mask,omitempty"`
	Latitude   *float64 `json:"gh_lat_f32,omitempty"` // degrees; absent if it is no number
	Longitude  *float64 `json:"gh_lon_f32,omitempty"`
	Angle      *byte    `json:"gh_angle_raw,omitempty"` // 360/256 degree
	LAC        *uint16  `json:"gh_lac,omitempty"`
	CID        *uint16  `json:"gh_cid,omitempty"`
	Signal     *byte    `json:"gh_signal,omitempty"`
	Operator   *uint32  `json:"gh_operator,omitempty"`
}

// add7 adds what only Codec 7 has.
func (o *recordObject) add7(r *teltonika.Record) {
	const atGlobalMask, atGPSMask, atGPS = 4, 5, 6 // in the record
	own := &recordObject7{GlobalMask: r.Raw[atGlobalMask]}
	o.recordObject7 = own
	if own.GlobalMask&1 == 0 {
		return
	}
	own.GPSMask = &r.Raw[atGPSMask]
	angle := r.Raw[atGPS:]
	sent := func(f teltonika.Fields) bool { return teltonika.Fields(*own.GPSMask)&f != 0 }
	if sent(teltonika.FieldCoordinates) {
		o.Latitude, own.Latitude = coordinate7(angle)
		o.Longitude, own.Longitude = coordinate7(angle[4:])
		angle = angle[8:]
	}
	if sent(teltonika.FieldAltitude) {
		angle = angle[2:]
	}
	if sent(teltonika.FieldAngle) {
		own.Angle = &angle[0]
	}
	if sent(teltonika.FieldCell) {
		own.LAC, own.CID = &r.LAC, &r.CID
	}
	if sent(teltonika.FieldSignal) {
		own.Signal = &r.Signal
	}
	if sent(teltonika.FieldOperator) {
		own.Operator = &r.Operator
	}
}

// coordinate7 is a coordinate in 1e-7 degree, however far off the globe, and in degrees. What is no number is 0 and
// nil.
func coordinate7(b []byte) (rounded json.Number, degrees *float64) {
	v := floatOf(b)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0", nil
	}
	return json.Number(strconv.FormatFloat(math.RoundToEven(v*1e7)+0, 'f', 0, 64)), &v
}

func decimal(n int32) json.Number { return json.Number(strconv.Itoa(int(n))) }
