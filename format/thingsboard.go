package format

import (
	"encoding/json"
	"strconv"
	"time"
)

// ThingsBoard is telemetry as its gateway API takes it, of the device whose name is its IMEI, ts in ms since 1970:
//
//	{"IMEI":[{"ts":…,"values":{…}}]}
//
// The place is there only with a fix of that time: ThingsBoard keeps a key's last value, which is the last known place.
// Not mapped: id, device, dict, raw. An element without a name is ioID, as sent.
func ThingsBoard(document []byte) ([]byte, error) {
	r, err := parse(document)
	if err != nil {
		return nil, err
	}
	var values object
	if r.Fix == fixOK {
		values.add("latitude", r.Latitude)
		values.add("longitude", r.Longitude)
		values.add("altitude", r.Altitude)
		values.add("angle", r.Angle)
		values.add("speed", r.Speed)
	}
	values.add("satellites", r.Satellites)
	values.add("priority", r.Priority)
	values.add("event_id", r.EventID)
	values.add("fix", quoted(r.Fix))
	values.add("codec", quoted(r.Codec))
	if !r.ReceivedAt.IsZero() {
		values.add("received_at", milliseconds(r.ReceivedAt))
	}
	values.add("clock", r.Clock)
	r.addMeaning(&values, "io")
	r.addNetwork(&values, func(signal string) string { return signal })

	var point, telemetry object
	point.add("ts", milliseconds(r.Timestamp))
	point.add("values", values.end())
	telemetry.add(r.DeviceID, append(append([]byte{'['}, point.end()...), ']'))
	return telemetry.end(), nil
}

func milliseconds(t time.Time) json.RawMessage { return strconv.AppendInt(nil, t.UnixMilli(), 10) }
