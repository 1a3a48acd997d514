package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

func TestCommandLists(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct{ imei, id string }{{absent, "a1"}, {present, "a2"}, {absent, "a3"}, {absent, "a4"}} {
		s.ask("POST", commandsOf(c.imei), `{"command":"getver","wait_ms":0,"id":"`+c.id+`"}`)
	}
	for path, want := range map[string]string{
		"/v1/commands":                       "a4 a3 a2 a1",
		"/v1/commands?state=all":             "a4 a3 a2 a1",
		"/v1/commands?state=open":            "a4 a3 a1",
		commandsOf(absent):                   "a4 a3 a1",
		commandsOf(absent) + "?limit=2":      "a4 a3 next",
		commandsOf(present) + "?state=open":  "",
		"/v1/devices/nobody/commands":        "",
		"/v1/commands?limit=1&cursor=2":      "a1",
		"/v1/commands?limit=200&cursor=4000": "a4 a3 a2 a1",
	} {
		a := s.ask("GET", path, "")
		var list CommandList
		if err := json.Unmarshal(a.body, &list); err != nil || list.Commands == nil || a.StatusCode != 200 {
			t.Fatalf("%s: %s %s", path, a.Status, a.body)
		}
		var got []string
		for _, e := range list.Commands {
			got = append(got, e.ID)
		}
		if list.Next != "" {
			got = append(got, "next")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	if s.ask("GET", "/v1/commands", ""); s.memory.query.Limit != pageSize {
		t.Errorf("a page of %d", s.memory.query.Limit)
	}
}

func TestWrongLists(t *testing.T) {
	s := start(t, Options{})
	for path, want := range map[string][]string{
		"/v1/devices/no%20imei/commands":                    {"imei"},
		commandsOf(strings.Repeat("1", 65)):                 {"imei"},
		"/v1/commands?limit=0&cursor=x&state=closed":        {"limit", "cursor", "state"},
		"/v1/commands?limit=201":                            {"limit"},
		"/v1/commands?cursor=0":                             {"cursor"},
		"/v1/commands?cursor=-1":                            {"cursor"},
		"/v1/commands?cursor=":                              {"cursor"},
		"/v1/commands?imei=" + absent:                       {"imei"},
		"/v1/commands?limit=1&limit=2":                      {"limit"},
		commandsOf(absent) + "?cursor=99999999999999999999": {"cursor"},
	} {
		p := s.ask("GET", path, "").want(t, 400)
		for _, name := range want {
			if p.Fields[name] == "" {
				t.Errorf("%s: %s is not named in %v", path, name, p.Fields)
			}
		}
	}
	for range maxListings {
		s.listing <- struct{}{}
	}
	s.ask("GET", "/v1/commands", "").want(t, 503)
}

// TestByID: whoever knows only a command's id finds it, follows it and takes it back.
func TestByID(t *testing.T) {
	s := start(t, Options{})
	c := clientOf(t, s.address, "")
	e, err := c.Submit(t.Context(), absent, &Request{ID: new("by/id"), Command: new("getver"), WaitMS: new(int64(0))})
	if err != nil || e.WaitsFor != WaitsForDevice {
		t.Fatalf("%+v, %v", e, err)
	}
	if got, err := c.Command(t.Context(), "", e.ID, 0); err != nil || got != e {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Cancel(t.Context(), "", e.ID); err != nil || got.State != command.Cancelled || got.WaitsFor != "" {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := c.Commands(t.Context(), "", false, "", 1)
	if err != nil || len(list.Commands) != 1 || list.Commands[0].State != command.Cancelled {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestNotPlain: the answer names what is odd about a command's bytes.
func TestNotPlain(t *testing.T) {
	s := start(t, Options{})
	for hex, want := range map[string]bool{"676574766572": false, "6765740a766572": true, "67657476657200": false} {
		e := s.ask("POST", commandsOf(absent), `{"hex":"`+hex+`","wait_ms":0}`).entry(t, 202)
		if (e.NotPlain != "") != want || want && !slices.Contains(strings.Fields(e.NotPlain), "0x0a,") {
			t.Errorf("%s: %q", hex, e.NotPlain)
		}
	}
}
