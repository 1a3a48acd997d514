package explain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// The elements of a device of the FMB family, and one that alone may be of any.
var (
	tellsFMB = map[uint16]uint64{72: 210, 73: 215, 205: 4711}
	temp     = map[uint16]uint64{25: 1825}
)

func avl(t testing.TB, elements map[uint16]uint64) teltonika.AVLData {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: make([]teltonika.Record, 1)}
	for id, n := range elements {
		group := teltonika.Group1
		switch id {
		case 25, 205:
			group = teltonika.Group2
		case 72, 73:
			group = teltonika.Group4
		}
		data.Records[0].AddNumber(id, group, n)
	}
	return data
}

func frameOf(t testing.TB, elements map[uint16]uint64) string {
	t.Helper()
	data := avl(t, elements)
	b, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func datagramOf(t testing.TB, imei string, elements map[uint16]uint64) string {
	t.Helper()
	data := avl(t, elements)
	body, err := data.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := teltonika.Datagram{IMEI: imei, Body: body}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func loginOf(t testing.TB, imei string) string {
	t.Helper()
	b, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// TestDevices: what one packet of a device says of its family helps to read the next one, and no other device's.
func TestDevices(t *testing.T) {
	a, b := loginOf(t, "356307042441013"), loginOf(t, "356307042441021")
	tells, asks := frameOf(t, tellsFMB), frameOf(t, temp)
	for _, tt := range []struct {
		name  string
		lines []string
		named bool // the temperature of the last packet
	}{
		{"alone", []string{asks}, false},
		{"a line is one device's", []string{tells + asks}, true},
		{"lines may be anybody's", []string{tells, asks}, false},
		{"one login in a line", []string{a + tells + asks}, true},
		{"one login in the input", []string{a, tells, asks}, true},
		{"several in a line", []string{a + tells + b + asks}, false},
		{"several, and again the first", []string{a + tells + b + a + asks}, true},
		{"several logins, lines are anybody's", []string{a, tells, b, asks}, false},
		{"several lines with their logins", []string{a + tells, b + "ff", a + asks}, true},
		{"a datagram names its device", []string{datagramOf(t, "356307042441013", tellsFMB), "ff",
			datagramOf(t, "356307042441013", temp)}, true},
		{"another device's datagram", []string{datagramOf(t, "356307042441013", tellsFMB),
			datagramOf(t, "356307042441021", temp)}, false},
		{"a wrong CRC teaches nothing", []string{tells[:len(tells)-2] + "00" + asks}, false},
	} {
		var devices Devices
		var last *Packet
		for _, line := range tt.lines {
			for p := range devices.Line(line, Auto) {
				last = p
			}
		}
		_, signals := signalsOf(t, last)
		if named := signals["ble.sensor.temperature.1"] == 18.25; named != tt.named {
			t.Errorf("%s: %v", tt.name, signals)
		}
	}
}

// signalsOf are the meaning of the packet's first record, and its signals.
func signalsOf(t testing.TB, p *Packet) (record, signals map[string]any) {
	t.Helper()
	o, _ := object(t, p)["meaning"].(map[string]any)
	if o == nil {
		return nil, nil
	}
	record = o["records"].([]any)[0].(map[string]any)
	signals, _ = record["signals"].(map[string]any)
	return record, signals
}

// TestDevicesAreBounded: many devices are forgotten, not kept.
func TestDevicesAreBounded(t *testing.T) {
	var devices Devices
	for i := range maxDevices + 10 {
		line := datagramOf(t, fmt.Sprintf("%015d", i), tellsFMB)
		for range devices.Line(line, UDP) {
		}
	}
	if len(devices.known) != 10 {
		t.Errorf("%d devices", len(devices.known))
	}
}

// TestJSONMeaning: beside the fields that were there, and nowhere else.
func TestJSONMeaning(t *testing.T) {
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: make([]teltonika.Record, 2)}
	r := &data.Records[0]
	r.AddNumber(66, teltonika.Group2, 1)
	r.AddNumber(239, teltonika.Group1, 1)
	r.AddNumber(72, teltonika.Group2, 3000)
	r.AddNumber(25, teltonika.Group2, 2000)
	r.AddNumber(66, teltonika.Group2, 12044) // again: the last value counts, as in the record
	packet, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	devices := Devices{Identity: meaning.Identity{Family: meaning.FMX6, Model: "FMB640", By: meaning.ByMap}}
	for p := range devices.Packets(packet, TCP) {
		got := object(t, p)["meaning"]
		want := map[string]any{}
		if err := json.Unmarshal([]byte(`{"device":{"family":"fmx6","model":"FMB640","by":"map","candidates":["fmx6"]},`+
			`"dict":"`+meaning.Embedded().Version()+`","records":[{"signals":{"engine.ignition.status":true,`+
			`"can.engine.temperature":200,"external.powersource.voltage":12.044},`+
			`"faults":{"onewire.temperature.1":"not_connected"}},{}]}`), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, any(want)) {
			t.Errorf("\n got %v\nwant %v", got, want)
		}
	}
	for p := range Packets(packet, TCP) {
		record, _ := signalsOf(t, p)
		depends := record["depends"].(map[string]any)["25"].([]any)
		if len(depends) < 2 {
			t.Errorf("%v", depends)
		}
	}
	for _, v := range readLines[vector](t, "codec7.jsonl") {
		for _, o := range objects(t, v.Hex, Auto) {
			if o["meaning"] != nil {
				t.Errorf("%s: Codec 7 has ids of its own: %v", v.Name, o["meaning"])
			}
		}
	}
}
