package explain

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func readerOf(t testing.TB, d *meaning.Dictionary, i meaning.Identity) *meaning.Reader {
	t.Helper()
	return meaning.Resolve(d, "356307042441013", i, new(meaning.Evidence))
}

func TestElement(t *testing.T) {
	d, err := meaning.Embedded().Override("family:fmb\t11\t8\t-\n" +
		"family:fmb\t60001\t2\tcabin.humidity\tnumber\t0\t0.1\t0\t%\n")
	if err != nil {
		t.Fatal(err)
	}
	fmb := readerOf(t, d, meaning.Identity{Family: meaning.FMB, By: meaning.ByMap})
	old := readerOf(t, d, meaning.Identity{Model: "FMB120", Firmware: "03.27.07_00", By: meaning.ByGetver})
	fmx6 := readerOf(t, d, meaning.Identity{Family: meaning.FMX6, By: meaning.ByMap})
	any := readerOf(t, d, meaning.Identity{})
	for _, tt := range []struct {
		reader     *meaning.Reader
		id         uint16
		group      teltonika.Group
		raw        string
		name, text string
	}{
		{fmb, 66, teltonika.Group2, "5e0f", "66 external.powersource.voltage", "24079 (24.079 V)"},
		{fmb, 72, teltonika.Group4, "ffffff9c", "72 onewire.temperature.1", "-100 (-10 °C)"},
		{fmb, 72, teltonika.Group4, "00000bb8", "72 onewire.temperature.1", "3000 (fault: not_connected)"},
		{fmb, 25, teltonika.Group2, "0721", "25 ble.sensor.temperature.1", "1825 (18.25 °C)"},
		{old, 25, teltonika.Group2, "0721", "25 ble.sensor.temperature.1", "1825 (182.5 °C)"},
		{any, 25, teltonika.Group2, "0721", "25 (depends on the family)", ""},
		{fmb, 113, teltonika.Group1, "5b", "113 battery.level", "91%"},
		{fmb, 200, teltonika.Group1, "02", "200 sleep.mode", "2 (deep)"},
		{fmb, 239, teltonika.Group1, "01", "239 engine.ignition.status", "1 (true)"},
		{fmb, 50, teltonika.Group1, "01", "50 obd.barometric.pressure", "1 kPa"},
		{fmx6, 50, teltonika.Group1, "01", "50 dout.3", "1 (true)"},
		{fmb, 65000, teltonika.Group1, "ff", "65000 (unknown)", "255"},
		{fmb, 11, teltonika.Group8, "0032e68bf8c1a8d2", "11 (silenced by an override)", "14327237683816658"},
		{fmb, 60001, teltonika.Group2, "01f4", "60001 cabin.humidity", "500 (50%)"},
		{fmb, 256, teltonika.GroupX, "5741554c1b", "256 vehicle.vin", `"WAUL\x1b"`},
		{fmb, 385, teltonika.GroupX, "1101", "385 ble.beacons", "2 bytes"},
		{fmb, 65000, teltonika.GroupX, "", "65000 (unknown)", "empty"},
		{fmb, 66, teltonika.Group16, "0000000000000000000000000000000a", "66 (unknown)", "16 bytes"},
		{nil, 66, teltonika.Group2, "5e0f", "66 (unknown)", "24079"},
	} {
		e := element{tt.id, tt.group, nil, tt.reader, nil}
		if tt.raw != "" {
			e.raw = unhex(t, tt.raw)
		}
		if got := e.name(); got != tt.name {
			t.Errorf("%d of %s is named %q, want %q", tt.id, tt.raw, got, tt.name)
		}
		if got := e.text(); got != tt.text && tt.text != "" {
			t.Errorf("%d of %s is %q, want %q", tt.id, tt.raw, got, tt.text)
		}
	}
}

// TestReadings: where the meaning depends on the device, each reading says whose it is.
func TestReadings(t *testing.T) {
	fmx6 := readerOf(t, meaning.Embedded(), meaning.Identity{Family: meaning.FMX6, By: meaning.ByMap})
	model := element{10354, teltonika.Group1, []byte{0}, fmx6, nil}
	want := "0 (FMC650: reefer.compressor.configuration = 0; FMB640, FMB641, FMC640 and 2 more: " +
		"reefer.communication.state.flags = 0)"
	if name := model.name(); name != "10354 (depends on the model)" {
		t.Errorf("%q", name)
	}
	if got := model.text(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	known := element{10354, teltonika.Group1, []byte{0},
		readerOf(t, meaning.Embedded(), meaning.Identity{Model: "FMC650", By: meaning.ByMap}), nil}
	if name := known.name(); name != "10354 reefer.compressor.configuration" {
		t.Errorf("%q", name)
	}
	family := element{25, teltonika.Group2, []byte{0x07, 0xd0}, readerOf(t, meaning.Embedded(), meaning.Identity{}), nil}
	if got := family.text(); !strings.Contains(got, "fmb, tat: ble.sensor.temperature.1 = 20 °C") ||
		!strings.Contains(got, "fault: parse_failed") || !strings.HasPrefix(got, "2000 (") {
		t.Errorf("%q", got)
	}
}

func TestEventName(t *testing.T) {
	fmb := readerOf(t, meaning.Embedded(), meaning.Identity{Family: meaning.FMB, By: meaning.ByMap})
	record := new(teltonika.Record)
	record.AddNumber(4, teltonika.Group1, 1)
	for _, tt := range []struct {
		id     uint16
		record *teltonika.Record
		want   string
	}{
		{239, nil, "239 engine.ignition.status"},
		{10, nil, "10 sd.status"},
		{4, record, "4 (unknown)"},
		{239, record, "239 engine.ignition.status"},
		{65000, nil, "65000 (unknown)"},
	} {
		if got := eventName(fmb, tt.id, tt.record); got != tt.want {
			t.Errorf("%d: %q, want %q", tt.id, got, tt.want)
		}
	}
	unpinned := readerOf(t, meaning.Embedded(), meaning.Identity{})
	if got := eventName(unpinned, 10, nil); got != "10 (not in the record; depends on its width or family)" {
		t.Errorf("%q", got)
	}
	if got := eventName(nil, 239, record); got != "239 (unknown)" {
		t.Errorf("without a reader %q", got)
	}
}
