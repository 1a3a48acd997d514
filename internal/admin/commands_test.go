package admin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestDefaults(t *testing.T) {
	s := start(t, Options{})
	e := s.ask("POST", commandsOf(present), `{"command":"getinfo"}`).entry(t, 200)
	kept := s.memory.kept[e.ID]
	if len(e.ID) < 16 || kept.Codec != teltonika.Codec12 || kept.Timeout != 30*time.Second || kept.Idempotent ||
		kept.Confirm ||
		kept.Expires != kept.Created.Add(10*time.Minute) || time.Since(kept.Created) > time.Minute || kept.IMEI != present {
		t.Errorf("submitted %+v", kept)
	}
	if !strings.HasPrefix(s.memory.source, "http 127.0.0.1:") {
		t.Errorf("source %q", s.memory.source)
	}
	if second := s.ask("POST", commandsOf(present), `{"command":"getinfo"}`).entry(t, 200); second.ID == e.ID {
		t.Error("two commands have one id")
	}
}

func TestEverythingGiven(t *testing.T) {
	s := start(t, Options{})
	body := `{"id":"a b","hex":"00FFff","codec":14,"timeout_ms":100,"expires_in_ms":86400000,` +
		`"idempotent":true,"confirm":true,"wait_ms":0}`
	s.ask("POST", commandsOf(present), body).want(t, 400) // an id has no spaces
	e := s.ask("POST", commandsOf(present), strings.Replace(body, "a b", "a~b", 1)).entry(t, 200)
	kept := s.memory.kept["a~b"]
	want := command.Command{
		ID: "a~b", IMEI: present, Codec: teltonika.Codec14, Payload: []byte{0, 255, 255}, Timeout: 100 * time.Millisecond,
		Created: kept.Created, Expires: kept.Created.Add(24 * time.Hour), Idempotent: true, Confirm: true,
	}
	if got := fmt.Sprintf("%+v", kept.Command); got != fmt.Sprintf("%+v", want) {
		t.Errorf("submitted\n%s\nwant\n%+v", got, want)
	}
	if e.Payload != "00ffff" || e.Encoding != command.Hex || *e.Response != "RTC:2026/11/22" ||
		e.ResponseEncoding != command.Text ||
		e.Codec != 14 || e.TimeoutMS != 100 || !e.Idempotent || e.Attempts != 1 || e.Instance != "one" {
		t.Errorf("entry %+v", e)
	}
	e = s.ask("POST", commandsOf(present), `{"command":"x","expires_at":"2020-01-01T00:00:00+02:00"}`).entry(t, 200)
	if got := s.memory.kept[e.ID].Expires.UTC().Format(time.RFC3339); got != "2019-12-31T22:00:00Z" {
		t.Errorf("expires %s", got)
	}
}

// TestConditionGiven is kept in full, and an id does not stand for the same command under another condition.
func TestConditionGiven(t *testing.T) {
	s := start(t, Options{})
	body := `{"id":"a","command":"setdigout 1","confirm":true,` +
		`"only_if":"ignition = off, external.powersource.voltage>11.5V"}`
	const full = "engine.ignition.status=off,external.powersource.voltage>11.5V,age<=60s"
	if e := s.ask("POST", commandsOf(present), body).entry(t, 200); e.OnlyIf != full {
		t.Errorf("the condition is %q, want %q", e.OnlyIf, full)
	}
	s.ask("POST", commandsOf(present), body).entry(t, 200)
	s.ask("POST", commandsOf(present), strings.Replace(body, "off", "on", 1)).want(t, 409)
	s.ask("POST", commandsOf(present), `{"id":"a","command":"setdigout 1","confirm":true}`).want(t, 409)
}

func TestWrongFields(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct {
		imei, body string
		wrong      []string
	}{
		{present, `{}`, []string{"command"}},
		{present, `null`, []string{"command"}},
		{present, `{"command":"a","hex":"00"}`, []string{"command"}},
		{present, `{"command":""}`, []string{"command"}},
		{present, `{"hex":""}`, []string{"hex"}},
		{present, `{"hex":"0"}`, []string{"hex"}},
		{present, `{"hex":7}`, []string{"hex"}},
		{present, `{"command":"getínfo"}`, []string{"command"}},
		{present, `{"command":"setparam\n2004:a.example","confirm":true}`, []string{"command"}},
		{present, `{"command":"getinfo\u0000","confirm":true}`, []string{"command"}},
		{present, `{"command":"` + strings.Repeat("x", 4097) + `"}`, []string{"command"}},
		{present, `{"hex":"` + strings.Repeat("00", 4097) + `"}`, []string{"hex"}},
		{present, `{"command":"a","Codec":12}`, []string{"Codec"}},
		{present, `{"command":"a","id":""}`, []string{"id"}},
		{present, `{"command":"a","id":7}`, []string{"id"}},
		{present, `{"command":"a","codec":0}`, []string{"codec"}},
		{present, `{"command":"a","codec":268}`, []string{"codec"}}, // 256 + 12
		{"12345", `{"command":"a","codec":14}`, []string{"imei"}},
		{"a-b", `{"command":"a"}`, []string{"imei"}},
		{present, `{"command":"a","timeout_ms":0}`, []string{"timeout_ms"}},
		{present, `{"command":"a","timeout_ms":600001}`, []string{"timeout_ms"}},
		{present, `{"command":"a","timeout_ms":9223372036854775807}`, []string{"timeout_ms"}},
		{present, `{"command":"a","timeout_ms":"1s"}`, []string{"timeout_ms"}},
		{present, `{"command":"a","expires_at":"soon"}`, []string{"expires_at"}},
		{present, `{"command":"a","expires_at":"0001-01-01T00:00:00Z"}`, []string{"expires_at"}},
		{present, `{"command":"a","expires_at":"2999-01-01T00:00:00Z"}`, []string{"expires_at"}},
		{present, `{"command":"a","expires_in_ms":0}`, []string{"expires_in_ms"}},
		{present, `{"command":"a","expires_in_ms":1,"expires_at":"2026-01-01T00:00:00Z"}`, []string{"expires_at"}},
		{present, `{"command":"a","only_if":5}`, []string{"only_if"}},
		{present, `{"command":"a","only_if":""}`, []string{"only_if"}},
		{present, `{"command":"a","only_if":"speed is low"}`, []string{"only_if"}},
		{present, `{"command":"a","only_if":"odometre<5"}`, []string{"only_if"}}, // no such signal
		{present, `{"command":"a","only_if":"external.powersource.voltage<5A"}`, []string{"only_if"}},
		{present, `{"command":"a","wait_ms":60001}`, []string{"wait_ms"}},
		{present, `{"command":"a","wait_ms":-1}`, []string{"wait_ms"}},
		{"a-b",
			`{"codec":"12","timeout_ms":-1,"expires_at":1,"expires_in_ms":1.5,"idempotent":1,"confirm":"yes",` +
				`"wait_ms":[],"what":0}`,
			[]string{"codec", "command", "confirm", "expires_at", "expires_in_ms", "idempotent", "imei", "timeout_ms", "wait_ms",
				"what"}},
	} {
		p := s.ask("POST", commandsOf(c.imei), c.body).want(t, 400)
		if got := slices.Sorted(maps.Keys(p.Fields)); !slices.Equal(got, c.wrong) {
			t.Errorf("%.100s: wrong are %v, want %v", c.body, p.Fields, c.wrong)
		}
		for _, name := range c.wrong {
			if !strings.Contains(p.Text, name) {
				t.Errorf("%.100s: %q does not name %s", c.body, p.Text, name)
			}
		}
	}
	for _, body := range []string{`[]`, `{"command":"a"`, `{"command":"a"}{}`, "{\"command\":\"\xff\"}", `"getinfo"`} {
		s.ask("POST", commandsOf(present), body).want(t, 400)
	}
	s.ask("POST", commandsOf(present), `{"command":"`+strings.Repeat(" ", 64<<10)+`"}`).want(t, 413)
	for _, path := range []string{"?wait_ms=1", "?"} {
		if a := s.ask("POST", commandsOf(present)+path, `{"command":"a"}`); (a.StatusCode == 400) != (path != "?") {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
	for _, q := range []string{"wait_ms=x", "wait_ms=-1", "wait_ms=60001", "wait_ms=1&wait_ms=1", "wait=1", "%zz"} {
		s.ask("GET", commandsOf(present)+"/x?"+q, "").want(t, 400)
	}
	if len(s.memory.kept) != 1 {
		t.Errorf("%d commands accepted", len(s.memory.kept))
	}
}

func TestWaiting(t *testing.T) {
	s := start(t, Options{})
	posted := make(chan answer)
	go func() { posted <- s.ask("POST", commandsOf(absent), `{"command":"getver","id":"w/1"}`) }()
	kept := s.awaitKept("w/1")
	followed := make(chan answer)
	go func() { followed <- s.ask("GET", commandsOf(absent)+"/w%2F1?wait_ms=60000", "") }()
	s.awaitWaiting(2)

	kept.Response, kept.Attempts, kept.SentAt = []byte{}, 1, time.Now()
	s.memory.set(kept.Finished(command.Answered, "", time.Now()))
	for _, c := range []chan answer{posted, followed} {
		if e := (<-c).entry(t, 200); e.State != command.Answered || e.Response == nil || *e.Response != "" {
			t.Errorf("entry %+v", e)
		}
	}
}

func TestNotWaiting(t *testing.T) {
	s := start(t, Options{})
	for _, wait := range []string{"0", "1"} {
		a := s.ask("POST", commandsOf(absent), `{"command":"getver","id":"n/`+wait+`","wait_ms":`+wait+`}`)
		if e := a.entry(t, 202); e.State != command.Queued || e.Response != nil ||
			strings.Contains(string(a.body), "_at\":\"0001") {
			t.Errorf("entry %s", a.body)
		}
		if e := s.ask("GET", a.Header.Get("Location"), "").entry(t, 200); e.ID != "n/"+wait {
			t.Errorf("at %s is %+v", a.Header.Get("Location"), e)
		}
	}
}

// TestCloseEndsWaits: a stop does not wait for devices.
func TestCloseEndsWaits(t *testing.T) {
	s := start(t, Options{})
	posted := make(chan answer)
	go func() { posted <- s.ask("POST", commandsOf(absent), `{"command":"getver","id":"c1"}`) }()
	s.awaitKept("c1")
	s.awaitWaiting(1)
	began := time.Now()
	s.Close(t.Context())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("closing took %v", took)
	}
	if e := (<-posted).entry(t, 202); e.State != command.Queued {
		t.Errorf("entry %+v", e)
	}
}

func TestTooManyWait(t *testing.T) {
	s := start(t, Options{})
	for range maxWaiting {
		s.waiting <- struct{}{}
	}
	a := s.ask("POST", commandsOf(present), `{"command":"getver","id":"t1"}`)
	a.want(t, 503)
	if a.Header.Get("Retry-After") != "1" || len(s.memory.kept) != 0 {
		t.Errorf("Retry-After %q, kept %v", a.Header.Get("Retry-After"), s.memory.kept)
	}
	s.ask("POST", commandsOf(present), `{"command":"getver","id":"t1","wait_ms":0}`).want(t, 200)
	s.ask("GET", commandsOf(present)+"/t1?wait_ms=1", "").want(t, 503)
	s.ask("GET", commandsOf(present)+"/t1", "").want(t, 200)
	<-s.waiting
	for range 3 { // a place is given back
		s.ask("POST", commandsOf(present), `{"command":"getver"}`).want(t, 200)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct {
		reason     command.Refusal
		status     int
		retryAfter string
	}{
		{command.RefusedDenied, 403, ""},
		{command.RefusedConfirm, 428, ""},
		{command.RefusedQueue, 429, "10"},
		{command.RefusedStore, 429, "10"},
		{command.RefusedUDP, 409, ""},
	} {
		s.memory.refuse = fmt.Errorf("wrapped: %w", &command.RefusedError{Reason: c.reason, Text: "because"})
		a := s.ask("POST", commandsOf(present), `{"command":"getver"}`)
		if p := a.want(t, c.status); p.Reason != c.reason || p.Text != "because" ||
			a.Header.Get("Retry-After") != c.retryAfter {
			t.Errorf("%s: %s, Retry-After %q", c.reason, a.body, a.Header.Get("Retry-After"))
		}
	}
}

func TestStoreFails(t *testing.T) {
	s := start(t, Options{})
	s.ask("POST", commandsOf(absent), `{"command":"getver","id":"s1","wait_ms":0}`).want(t, 202)
	s.memory.fail = errors.New("connection refused")
	p := s.ask("POST", commandsOf(present), `{"command":"getver"}`).want(t, 503)
	if p.ID == "" || strings.Contains(p.Text, "connection refused") {
		t.Errorf("%+v", p)
	}
	s.ask("GET", commandsOf(absent)+"/s1", "").want(t, 503)
	s.ask("DELETE", commandsOf(absent)+"/s1", "").want(t, 503)
	s.ask("GET", commandsOf(absent), "").want(t, 503)
	if !s.log.Has(`msg="command store failed" call=submit error="connection refused"`) {
		t.Errorf("log:\n%s", s.log)
	}
}

// TestStoreFailsWhileWaiting: what was accepted is not said to have failed.
func TestStoreFailsWhileWaiting(t *testing.T) {
	s := start(t, Options{})
	posted := make(chan answer)
	go func() { posted <- s.ask("POST", commandsOf(absent), `{"command":"getver","id":"f1"}`) }()
	kept := s.awaitKept("f1")
	s.awaitWaiting(1)
	s.memory.mu.Lock()
	s.memory.fail = errors.New("connection refused")
	s.memory.mu.Unlock()
	s.memory.set(kept) // wakes it
	if e := (<-posted).entry(t, 202); e.ID != "f1" {
		t.Errorf("entry %+v", e)
	}
}

// TestOddIDs takes ids that mean something in paths.
func TestOddIDs(t *testing.T) {
	s := start(t, Options{})
	client, err := NewClient(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ids := []string{".", "..", "a/../b", "a//b", "//", "%2F", "a?b=c#d", "a+b&c;d", `"<>\^` + "`{|}~"}
	for _, id := range append(ids, strings.Repeat("x", 128)) {
		submitted, err := client.Submit(t.Context(), absent, &Request{ID: &id, Command: new("getver"), WaitMS: new(int64(0))})
		if err != nil || submitted.ID != id {
			t.Fatalf("%q: %+v, %v", id, submitted, err)
		}
		if e, err := client.Command(t.Context(), absent, id, 0); err != nil || e != submitted {
			t.Errorf("%q: %+v, %v", id, e, err)
		}
		if e, err := client.Cancel(t.Context(), absent, id); err != nil || e.State != command.Cancelled {
			t.Errorf("%q: %+v, %v", id, e, err)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1", 404, ""},
		{"GET", "/v1/devices/", 404, ""},
		{"GET", "/v2/devices", 404, ""},
		{"PUT", commandsOf(present), 405, "GET, POST"},
		{"PUT", "/v1/commands", 405, "GET"},
		{"PUT", "/v1/commands/x", 405, "DELETE, GET"},
		{"GET", "/v1/commands/x", 404, ""},
		{"DELETE", "/v1/commands/x", 404, ""},
		{"PUT", commandsOf(present) + "/x", 405, "DELETE, GET"},
		{"DELETE", "/v1/devices/" + present, 405, "GET"},
		{"OPTIONS", commandsOf(present), 405, "GET, POST"},
		{"GET", commandsOf(present) + "/x", 404, ""},
		{"DELETE", commandsOf(present) + "/x", 404, ""},
	} {
		a := s.ask(c.method, c.path, "")
		a.want(t, c.status)
		if a.Header.Get("Allow") != c.allow || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", c.method, c.path, a.Header)
		}
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s lets other origins in: %s", c.method, c.path, name)
			}
		}
	}
}

func (r *running) awaitKept(id string) command.Entry {
	r.t.Helper()
	var e command.Entry
	testkit.Eventually(r.t, "the command is kept", func() (ok bool) {
		r.memory.mu.Lock()
		defer r.memory.mu.Unlock()
		e, ok = r.memory.kept[id]
		return ok
	})
	return e
}

func (r *running) awaitWaiting(n int) {
	r.t.Helper()
	testkit.Eventually(r.t, "requests wait", func() bool { return len(r.waiting) == n })
}
