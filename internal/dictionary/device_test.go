package dictionary

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const imei = "356307042441013"

// document is a record as the service stores it.
func document(t testing.TB, codec teltonika.Codec, raw bool, fill func(*teltonika.Record)) []byte {
	t.Helper()
	data := teltonika.AVLData{Codec: codec, Records: make([]teltonika.Record, 1)}
	data.Records[0].Timestamp = 1560161086000
	fill(&data.Records[0])
	body, err := data.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent teltonika.AVLData
	if err := sent.Decode(body); err != nil {
		t.Fatal(err)
	}
	encoder := record.Encoder{Raw: raw}
	encoder.Begin(record.Origin{DeviceID: imei, Codec: codec, Received: time.UnixMilli(1560161087000)})
	_, records, err := encoder.Append(nil, nil, &sent.Records[0])
	if err != nil {
		t.Fatal(err)
	}
	return records[0].Payload
}

// with adds members to a document, as the service adds signals.
func with(document []byte, members string) []byte {
	return append(bytes.TrimSuffix(document, []byte("}")), ","+members+"}"...)
}

func elements(r *teltonika.Record) {
	r.AddNumber(66, teltonika.Group2, 12044)
	r.AddNumber(239, teltonika.Group1, 1)
	r.AddNumber(16, teltonika.Group4, 1<<20)
	r.AddNumber(11, teltonika.Group8, 1<<40)
	r.AddBytes(385, teltonika.GroupX, []byte{0x11})
	r.AddNumber(66, teltonika.Group2, 12045)
}

func TestUnknown(t *testing.T) {
	odd := func(r *teltonika.Record) {
		elements(r)
		r.AddNumber(64000, teltonika.Group1, 1)
		r.AddNumber(64000, teltonika.Group2, 300)
		r.AddBytes(64001, teltonika.GroupX, []byte("x"))
	}
	d, problems := Check(meaning.Embedded(), "*\t64001\tx\town\thex\n")
	if problems != nil {
		t.Fatal(problems)
	}
	for _, tt := range []struct {
		name       string
		dictionary *meaning.Dictionary
		document   []byte
		want       string
	}{
		{"without signals", meaning.Embedded(), document(t, teltonika.Codec8E, false, odd),
			"64000/2-4 unknown, 64001/x unknown"},
		{"with raw bytes", meaning.Embedded(), document(t, teltonika.Codec8E, true, odd),
			"64000/2 unknown, 64001/x unknown"},
		{"with an override", d, document(t, teltonika.Codec8E, true, odd), "64000/2 unknown"},
		{"with signals", d, with(document(t, teltonika.Codec8E, true, odd),
			`"signals":{"engine.ignition.status":true,"vehicle.mileage":5,"own":"78","ble.beacons":"11"},`+
				`"faults":{"external.powersource.voltage":"x"},"device":{"family":"fmb","by":"elements"},"dict":"1"`),
			"11/8 silent, 64000/2 unknown"},
	} {
		r, err := stored.Parse(tt.document)
		if err != nil {
			t.Fatal(err)
		}
		u := NewUnknown(tt.dictionary)
		u.Add(r)
		u.Add(r)
		var got []string
		for _, c := range u.Counts() {
			got = append(got, fmt.Sprintf("%d/%s %s", c.ID, c.Width, c.Why))
			if c.Records != 2 || c.Devices != 1 || c.Last != "2019-06-10T10:04:46.000Z" {
				t.Errorf("%s: %+v", tt.name, c)
			}
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
		var text, lines bytes.Buffer
		if err := u.WriteText(&text); err != nil || !strings.Contains(text.String(), "64000") {
			t.Errorf("%s: %v: %s", tt.name, err, text.String())
		}
		lost := strings.Contains(text.String(), "the width is lost")
		if lost != (tt.name == "without signals") {
			t.Errorf("%s: %s", tt.name, text.String())
		}
		if err := u.WriteJSON(&lines); err != nil || strings.Count(lines.String(), "\n") != len(got) {
			t.Errorf("%s: %v: %s", tt.name, err, lines.String())
		}
	}
}

// TestUnknownIsBounded: many devices are not all remembered.
func TestUnknownIsBounded(t *testing.T) {
	u := NewUnknown(meaning.Embedded())
	for i := range maxDevices + 10 {
		u.Add(&stored.Record{DeviceID: fmt.Sprint(i),
			Elements: []stored.Element{{ID: 64000, Widths: []meaning.Width{meaning.Width1}, Number: 1}}})
	}
	if c := u.Counts()[0]; c.Devices != maxDevices || c.Records != maxDevices+10 {
		t.Errorf("%+v", c)
	}
}

func explained(t testing.TB, v *Device) (x Explanation, text string) {
	t.Helper()
	var object, lines bytes.Buffer
	if err := v.Explain().WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(object.Bytes(), &x); err != nil {
		t.Fatal(err)
	}
	if err := v.Explain().WriteText(&lines); err != nil {
		t.Fatal(err)
	}
	return x, lines.String()
}

func (x Explanation) row(id uint16) row {
	i := slices.IndexFunc(x.Elements, func(r row) bool { return r.ID == id })
	if i < 0 {
		return row{}
	}
	return x.Elements[i]
}

func TestExplainDevice(t *testing.T) {
	fmx6 := func(r *teltonika.Record) {
		r.AddNumber(66, teltonika.Group2, 12045)
		r.AddNumber(70, teltonika.Group2, 210)
		r.AddNumber(64000, teltonika.Group2, 300)
		r.AddNumber(25, teltonika.Group2, 920)
		r.AddNumber(50, teltonika.Group1, 1)
		r.AddNumber(72, teltonika.Group2, 3000)
	}
	add := func(v *Device, document []byte) *Device {
		r, err := stored.Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		v.Add(r)
		return v
	}
	// By the widths alone, which the raw bytes have.
	x, text := explained(t, add(&Device{IMEI: imei, Dictionary: meaning.Embedded()},
		document(t, teltonika.Codec8E, true, fmx6)))
	if x.Family != "fmx6" || x.By != "elements" || x.row(72).Value != "3000 (fault: not_connected)" || x.LostWidths ||
		!slices.ContainsFunc(x.Evidence, func(p pair) bool { return p.ID == 72 && p.Width == "2" }) {
		t.Errorf("%s", text)
	}
	// Without them little is known.
	x, text = explained(t, add(&Device{IMEI: imei, Dictionary: meaning.Embedded()},
		document(t, teltonika.Codec8E, false, fmx6)))
	if !x.LostWidths || len(x.Candidates) < 3 || !strings.Contains(text, "only with RECORD_RAW") ||
		x.row(64000).Width != "2-4" ||
		x.row(66).Name != "external.powersource.voltage" || !strings.HasPrefix(x.row(25).Name, "(depends") {
		t.Errorf("%s", text)
	}
	// What the service had been told by the device is in the record.
	x, text = explained(t, add(&Device{IMEI: imei, Dictionary: meaning.Embedded()},
		with(document(t, teltonika.Codec8E, false, fmx6), `"device":{"family":"fmx6","model":"FMB640","by":"getver"}`)))
	if x.Family != "fmx6" || x.Model != "FMB640" || x.By != "getver" || x.row(50).Name != "dout.3" ||
		x.row(25).Value != "920 (92 °C)" || !strings.Contains(text, "model FMB640, pinned by its own answer to getver") {
		t.Errorf("%s", text)
	}
	// What it has kept, and what the user says, counts too.
	var kept meaning.Evidence
	kept.Add(meaning.Embedded(), meaning.Element{ID: 72, Width: meaning.Width2})
	x, text = explained(t, add(&Device{IMEI: imei, Dictionary: meaning.Embedded(), Kept: &kept},
		document(t, teltonika.Codec8E, false, fmx6)))
	if slices.Contains(x.Candidates, "fmb") && x.Family == "fmb" || !x.Kept ||
		!strings.Contains(text, "what the service has kept") {
		t.Errorf("%s", text)
	}
	x, text = explained(t, add(&Device{IMEI: imei, Dictionary: meaning.Embedded(),
		Identity: meaning.Identity{Family: meaning.FMB, By: meaning.ByMap}}, document(t, teltonika.Codec8E, false, fmx6)))
	if x.Family != "fmb" || x.By != "map" || x.row(25).Name != "ble.sensor.temperature.1" {
		t.Errorf("%s", text)
	}
}
