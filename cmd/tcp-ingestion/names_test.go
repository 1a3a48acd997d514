package main

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

func TestNamedLine(t *testing.T) {
	d, err := meaning.Embedded().Override("*\t9\t2\ttank.level\tnumber\t\t0.05\t\t%\n")
	if err != nil {
		t.Fatal(err)
	}
	named := newNamedLine(d)
	const head = `{"device_id":"356307042441013","timestamp":"2019-06-10T10:04:46.000Z","latitude":54.667425,` +
		`"longitude":25.2560283,"altitude":172,"angle":248,"speed":60,"satellites":11,"priority":1,` +
		`"attributes":{"21":3,"66":24079},"event_id":66,`
	for _, tt := range []struct{ rest, want string }{
		{`"fix":"ok","signals":{"external.powersource.voltage":12.044,"tank.level":35,"dout.3":false,"sleep.mode":"deep",` +
			`"can.security.flags.p4":["ignition","engine_running"],"can.doors":[],"vehicle.vin":"WAU 1",` +
			`"x":"18446744073709551615"},` +
			`"faults":{"onewire.temperature.2":"not_connected"}}`,
			"54.667425 25.2560283  fix ok  60 km/h  external.powersource.voltage 12.044 V, tank.level 35%, dout.3 false, " +
				`sleep.mode deep, can.security.flags.p4 ignition+engine_running, can.doors none, vehicle.vin "WAU 1", ` +
				"x 18446744073709551615, FAULT onewire.temperature.2 not_connected"},
		{`"fix":"stale"}`, "54.667425 25.2560283  fix stale  60 km/h  no signals of 2 elements"},
		{`"fix":"none","clock":"future"}`, "clock future  fix none  60 km/h  no signals of 2 elements"},
		{`"fix":"ok","faults":{"a":"b"}}`, "54.667425 25.2560283  fix ok  60 km/h  FAULT a b"},
		// What a device says cannot pass for something else, nor reach the terminal.
		{`"fix":"ok","signals":{"vehicle.vin":"x, dout.3 true\u001b[2J\u202e\n","b":["\u0007"],"c":{"d":1}}}`,
			`54.667425 25.2560283  fix ok  60 km/h  vehicle.vin "x, dout.3 true\x1b[2J\u202e\n", b "\a", c {"d":1}`},
	} {
		line, err := named.line([]byte(head + tt.rest))
		if want := "2019-06-10T10:04:46.000Z  356307042441013  " + tt.want; err != nil || string(line) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", tt.rest, line, err, want)
		}
	}
	for _, wrong := range []string{"", "[]", "{}", head + `"signals":[]}`, head + `"signals":{"a":}}`, `{"device_id":7}`} {
		if line, err := named.line([]byte(wrong)); err == nil {
			t.Errorf("%s: %s", wrong, line)
		}
	}
	seven := `{"device_id":"1","timestamp":"2019-06-10T10:04:46.000Z","attributes":{},"fix":"none","codec":"7"}`
	if line, err := named.line([]byte(seven)); err != nil || strings.Contains(string(line), "km/h") {
		t.Errorf("%s, %v", line, err)
	}
}

// TestTailNames shows stored records by name.
func TestTailNames(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		f := startFleet(t, s.devices, 2, nil)
		f.awaitProgress(t, 10)
		f.end(t)
		code, out, errOut := execute(t, store.settings, "", "tail", "--names", "--from-start", "--count", "5")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || errOut != "" || len(lines) != 5 {
			t.Fatalf("exit code %d: %s%s", code, out, errOut)
		}
		if !strings.Contains(out, "din.1 ") { // all simulated devices have it
			t.Errorf("no record has a name:\n%s", out)
		}
		for _, line := range lines {
			if !strings.Contains(line, "  fix ") || strings.ContainsAny(line, "{}") {
				t.Errorf("%s", line)
			}
		}
	})
}
