package format

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Traccar is a position as Traccar forwards it as JSON, with the device's uniqueId. speed is in knots, course in
// degrees. A place of earlier is outdated and not valid, as Traccar says of it; without one there are no coordinates,
// and in both cases no fixTime. Attributes have Traccar's keys where it has one for the same thing in the same unit,
// and else the signal's name; lists of words are texts with commas. An element without a name is ioID, as sent. Not
// mapped: the ids of Traccar's own database, address and geofences, alarms, and id, device, dict and raw.
func Traccar(document []byte) ([]byte, error) {
	r, err := parse(document)
	if err != nil {
		return nil, err
	}
	var p, device, forwarded object
	valid := r.Fix == fixOK
	p.add("protocol", quoted("teltonika"))
	if !r.ReceivedAt.IsZero() {
		p.add("serverTime", traccarTime(r.ReceivedAt))
	}
	p.add("deviceTime", traccarTime(r.Timestamp))
	if valid {
		p.add("fixTime", traccarTime(r.Timestamp))
	}
	p.add("outdated", boolean(!valid))
	p.add("valid", boolean(valid))
	if r.hasPlace() {
		p.add("latitude", r.Latitude)
		p.add("longitude", r.Longitude)
		p.add("altitude", r.Altitude)
		p.add("speed", knots(r.Speed))
		p.add("course", r.Angle)
	}
	p.add("attributes", r.traccarAttributes())
	device.add("uniqueId", quoted(r.DeviceID))
	forwarded.add("position", p.end())
	forwarded.add("device", device.end())
	return forwarded.end(), nil
}

func (r *record) traccarAttributes() json.RawMessage {
	var attributes object
	attributes.add("priority", r.Priority)
	attributes.add("sat", r.Satellites)
	attributes.add("event", r.EventID)
	attributes.add("clock", r.Clock)
	for _, s := range r.Signals {
		attributes.add(traccarKey(s.key), joined(s.value))
	}
	r.addRest(&attributes, "io")
	r.addNetwork(&attributes, traccarKey)
	return attributes.end()
}

// traccarKeys are Traccar's keys of signals, in the same unit.
var traccarKeys = map[string]string{
	"engine.ignition.status":         "ignition",
	"movement.status":                "motion",
	"external.powersource.voltage":   "power",   // V
	"battery.voltage":                "battery", // V
	"battery.level":                  "batteryLevel",
	"vehicle.mileage":                "odometer", // m
	"trip.mileage":                   "tripOdometer",
	"gnss.hdop":                      "hdop",
	"gnss.pdop":                      "pdop",
	"gsm.signal.level":               "rssi",
	"gsm.operator.code":              "operator",
	"gsm.sim.iccid":                  "iccid",
	"gsm.sim.iccid.1":                "iccid",
	"ibutton.code":                   "driverUniqueId",
	"vehicle.vin":                    "vin",
	"can.engine.rpm":                 "rpm",
	"obd.engine.rpm":                 "rpm",
	"can.throttle.pedal.level":       "throttle",
	"obd.engine.load":                "engineLoad",
	"can.engine.temperature":         "coolantTemp", // °C
	"obd.engine.coolant.temperature": "coolantTemp",
	"can.fuel.consumed":              "fuelUsed", // l
	"generation.type":                "generationType",
}

// traccarNumbered are Traccar's prefixes of signals that end in a number.
var traccarNumbered = map[string]string{
	"din.": "in", "dout.": "out", "ain.": "adc", "onewire.temperature.": "temp",
}

func traccarKey(signal string) string {
	if key := traccarKeys[signal]; key != "" {
		return key
	}
	for name, prefix := range traccarNumbered {
		if n, ok := strings.CutPrefix(signal, name); ok && strings.Trim(n, "0123456789") == "" {
			return prefix + n
		}
	}
	return signal
}

// joined is a list of words as one text; anything else is as it is.
func joined(value json.RawMessage) json.RawMessage {
	var words []string
	if value[0] != '[' || json.Unmarshal(value, &words) != nil {
		return value
	}
	return quoted(strings.Join(words, ","))
}

// knots is a speed in km/h in knots, to a millionth.
func knots(speed json.RawMessage) json.RawMessage {
	kmh, err := strconv.ParseFloat(string(speed), 64)
	if err != nil {
		return nil
	}
	return strconv.AppendFloat(nil, math.Round(kmh/1.852*1e6)/1e6, 'f', -1, 64)
}

// traccarTime is a time as Traccar writes it.
func traccarTime(t time.Time) json.RawMessage {
	return quoted(t.UTC().Format("2006-01-02T15:04:05.000") + "+00:00")
}
