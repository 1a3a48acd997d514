package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

// mixed is a fleet of which each device is known otherwise.
var mixed = fleet{known: []device.Presence{
	{IMEI: "1", Family: "fmb", Model: "FMC130"}, {IMEI: "2", Family: "fmx6", Model: "FMB640"}, {IMEI: "3", Family: "tat"},
	{IMEI: "4"},
}}

func TestNamedCommand(t *testing.T) {
	s := start(t, Options{Devices: mixed})
	for _, c := range []struct{ imei, body, want string }{
		{"1", `{"name":"locate"}`, "getgps"},
		{"3", `{"name":"locate"}`, "getgps"},
		{"1", `{"name":"immobilize","confirm":true}`, "setdigout 1"},
		{"2", `{"name":"immobilize","confirm":true}`, "setdigout 1???"},
		{"1", `{"name":"immobilize-2","confirm":true,"args":{"seconds":60}}`, "setdigout ?1 ? 60"},
		{"1", `{"name":"set-parameter","confirm":true,"args":{"id":"1000","value":"-5.5"}}`, "setparam 1000:-5.5"},
		{"4", `{"name":"immobilize","confirm":true,"family":"ft"}`, "setdigout 1"},
		{"5", `{"name":"immobilize","confirm":true,"family":"fmc650"}`, "setdigout 1???"}, // never seen
	} {
		a := s.ask("POST", commandsOf(c.imei), strings.Replace(c.body, "{", `{"wait_ms":0,`, 1))
		var e Entry
		if err := json.Unmarshal(a.body, &e); err != nil || a.StatusCode > 202 || e.Payload != c.want {
			t.Errorf("%s to %s: %s %s, want %q", c.body, c.imei, a.Status, a.body, c.want)
		}
	}
}

func TestNamedCommandRefused(t *testing.T) {
	s := start(t, Options{Devices: mixed})
	for _, c := range []struct{ imei, body, field, says string }{
		{"1", `{"name":"imobilize"}`, "name", "commands names"},
		{"3", `{"name":"immobilize","confirm":true}`, "name", "the family tat"},
		{"4", `{"name":"immobilize","confirm":true}`, "family", "getver"},
		{"5", `{"name":"locate"}`, "family", "DEVICE_MODELS"},
		{"2", `{"name":"immobilize","confirm":true,"family":"fmb"}`, "family", "fmx6 FMB640"},
		{"1", `{"name":"immobilize","confirm":true,"family":"FMC125"}`, "family", "fmb FMC130"},
		{"1", `{"name":"immobilize","confirm":true,"family":"vw"}`, "family", "neither a family nor a model"},
		{"1", `{"name":"immobilize","confirm":true,"args":{"seconds":1.5}}`, "args", "whole number"},
		{"1", `{"name":"immobilize","confirm":true,"args":{"seconds":"1;cpureset"}}`, "args", "whole number"},
		{"1", `{"name":"immobilize","confirm":true,"args":{"seconds":[1]}}`, "args", "an object"},
		{"1", `{"name":"set-parameter","args":{"id":1,"value":"a\r\nb"}}`, "args", "need value"},
		{"1", `{"name":"locate","command":"getgps"}`, "command", "only one"},
		{"1", `{"name":7}`, "name", "a string"},
		{"1", `{"command":"getgps","args":{}}`, "args", "needs a name"},
		{"1", `{"command":"getgps","family":"fmb"}`, "family", "needs a name"},
		{"1", `{"command":"getgps","dry_run":true}`, "dry_run", "needs a name"},
	} {
		p := s.ask("POST", commandsOf(c.imei), c.body).want(t, 400)
		if !strings.Contains(p.Fields[c.field], c.says) {
			t.Errorf("%s to %s: %v, want %s with %q", c.body, c.imei, p.Fields, c.field, c.says)
		}
	}
	p := s.ask("POST", commandsOf("1"), `{"name":"immobilize"}`).want(t, 428)
	if p.Reason != command.RefusedConfirm || !strings.Contains(p.Text, `"setdigout 1"`) {
		t.Errorf("not confirmed: %+v", p)
	}
	if len(s.memory.kept) != 0 {
		t.Errorf("%d commands are accepted", len(s.memory.kept))
	}
	away := start(t, Options{Devices: fleet{known: mixed.known, away: errors.New("away")}})
	for _, body := range []string{`{"name":"locate"}`, `{"name":"locate","family":"fmb"}`} { // may be out of date
		p := away.ask("POST", commandsOf("1"), body).want(t, 400)
		if !strings.Contains(p.Fields["family"], "found out now: away") {
			t.Errorf("%s: %v", body, p.Fields)
		}
	}
}

// TestDryRun says what would be sent, and what speaks against it, and sends nothing.
func TestDryRun(t *testing.T) {
	s := start(t, Options{Devices: mixed})
	for body, want := range map[string]Named{
		`{"name":"locate","dry_run":true}`: {Command: "getgps"},
		`{"name":"immobilize","dry_run":true}`: {
			Command: "setdigout 1", Confirm: true, Warning: warningVehicle,
		},
		`{"name":"immobilize","dry_run":true,"only_if":"speed<5"}`: {Command: "setdigout 1", Confirm: true},
		`{"name":"restart","dry_run":true}`:                        {Command: "cpureset", Confirm: true},
	} {
		a := s.ask("POST", commandsOf("1"), body)
		var got Named
		if err := json.Unmarshal(a.body, &got); err != nil || a.StatusCode != 200 || got.Command != want.Command ||
			got.Confirm != want.Confirm || got.Warning != want.Warning || got.Model != "FMC130" || got.Does == "" {
			t.Errorf("%s: %s %s", body, a.Status, a.body)
		}
	}
	if len(s.memory.kept) != 0 {
		t.Errorf("%d commands are accepted", len(s.memory.kept))
	}
}

func TestListOfNames(t *testing.T) {
	own, err := named.Embedded().Override(strings.NewReader("siren  FMC130  setdigout ?1[ ? {seconds:1-60}]  wails"))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Names: func() *named.Table { return own }})
	names := func(path string) (all map[string]Name) {
		var list NameList
		if err := json.Unmarshal(s.ask("GET", path, "").body, &list); err != nil {
			t.Fatal(err)
		}
		all = map[string]Name{}
		for _, n := range list.Names {
			all[n.Name] = n
		}
		return all
	}
	if n := names("/v1/names?family=fmb")["siren"]; n.Command != "setdigout ?1[ ? {seconds:1-60}]" || !n.Confirm ||
		len(n.Parameters) != 1 || n.Parameters[0] != (Parameter{"seconds", 1, 60, true}) || n.Match[0] != "FMC130" {
		t.Errorf("%+v", n)
	}
	if all := names("/v1/names?family=tat"); all["siren"].Name != "" || all["immobilize"].Name != "" ||
		all["locate"].Command != "getgps" {
		t.Errorf("those of tat: %v", all)
	}
	if all := names("/v1/names"); len(all) != len(own.Names()) {
		t.Errorf("%d names, want %d", len(all), len(own.Names()))
	}
	s.ask("GET", "/v1/names?family=vw", "").want(t, 400)
}
