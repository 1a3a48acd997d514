package explain

import (
	"encoding/binary"
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

// addCodec7 adds to the records what only Codec 7 has.
func (p *Packet) addCodec7(records []recordObject) {
	if codec, _ := p.Codec(); codec != teltonika.Codec7 || len(records) == 0 {
		return
	}
	for i := range records {
		records[i].recordObject7 = new(recordObject7)
	}
	body := p.Raw[p.bodyStart:p.bodyEnd]
	teltonika.Trace(body, len(body), func(f teltonika.Field) {
		if f.Record > 0 {
			records[f.Record-1].add7(f)
		}
	})
}

func (o *recordObject) add7(f teltonika.Field) {
	switch f.Name {
	case "global mask":
		o.GlobalMask = f.Bytes[0]
	case "GPS mask":
		o.GPSMask = &f.Bytes[0]
	case "latitude and longitude":
		o.Latitude, o.recordObject7.Latitude = coordinate7(f.Bytes)
		o.Longitude, o.recordObject7.Longitude = coordinate7(f.Bytes[4:])
	case "angle":
		o.recordObject7.Angle = &f.Bytes[0]
	case "LAC and CID":
		lac, cid := binary.BigEndian.Uint16(f.Bytes), binary.BigEndian.Uint16(f.Bytes[2:])
		o.LAC, o.CID = &lac, &cid
	case "signal":
		o.Signal = &f.Bytes[0]
	case "operator":
		operator := binary.BigEndian.Uint32(f.Bytes)
		o.Operator = &operator
	}
}

// coordinate7 is a coordinate in 1e-7 degree, however far off the globe, and in degrees. What is no number is 0 and
// nil.
func coordinate7(b []byte) (rounded *json.Number, degrees *float64) {
	v := floatOf(b)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return decimal(0), nil
	}
	return new(json.Number(strconv.FormatFloat(math.RoundToEven(v*1e7)+0, 'f', 0, 64))), &v
}

func decimal(n int32) *json.Number { return new(json.Number(strconv.Itoa(int(n)))) }
