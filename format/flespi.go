package format

import (
	"encoding/json"
	"strconv"
	"time"
)

// Flespi is a message as of flespi: flat, times in seconds since 1970, the parameters' names by flespi's convention,
// which those of signals follow too. position.valid says whether the position is a fix of that time; a record without
// any has no coordinates. Not mapped: id, device, dict, raw, and what flespi itself knows (channel, peer, protocol).
// custom.param.ID is an element without a name, as sent.
func Flespi(document []byte) ([]byte, error) {
	r, err := parse(document)
	if err != nil {
		return nil, err
	}
	var m object
	m.add("ident", quoted(r.DeviceID))
	m.add("timestamp", seconds(r.Timestamp))
	if !r.ReceivedAt.IsZero() {
		m.add("server.timestamp", seconds(r.ReceivedAt))
	}
	m.add("codec.id", codecIDs[r.Codec])
	if r.hasPlace() {
		m.add("position.latitude", r.Latitude)
		m.add("position.longitude", r.Longitude)
		m.add("position.altitude", r.Altitude)
		m.add("position.direction", r.Angle)
		m.add("position.speed", r.Speed)
	}
	m.add("position.satellites", r.Satellites)
	m.add("position.valid", boolean(r.Fix == fixOK))
	m.add("event.priority.enum", r.Priority)
	m.add("event.enum", r.EventID)
	m.add("clock", r.Clock)
	for _, s := range r.Signals {
		m.add(flespiName(s.key), s.value)
	}
	r.addRest(&m, "custom.param.")
	r.addNetwork(&m, flespiName)
	return m.end(), nil
}

var codecIDs = map[string]json.RawMessage{
	"7": []byte("7"), "8": []byte("8"), "8E": []byte("142"), "16": []byte("16"),
}

// flespiName is flespi's name of a signal where it has another one.
func flespiName(signal string) string {
	switch signal {
	case "gnss.hdop":
		return "position.hdop"
	case "gnss.pdop":
		return "position.pdop"
	}
	return signal
}

// seconds is a time in s since 1970, to the millisecond.
func seconds(t time.Time) json.RawMessage {
	ms := t.UnixMilli()
	whole := strconv.AppendInt(nil, ms/1000, 10)
	if ms%1000 == 0 {
		return whole
	}
	return append(append(whole, '.'), strconv.Itoa(1000 + int(ms%1000))[1:]...)
}
