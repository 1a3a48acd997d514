package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

const (
	present = "356307042441013" // answers at once
	absent  = "356307042441014" // its commands stay queued
)

// memory keeps commands in memory.
type memory struct {
	mu      sync.Mutex
	kept    map[string]command.Entry
	changed chan struct{} // closed at each change
	source  string        // of the last command
	query   command.Query // the last one

	refuse error // by Submit
	fail   error // by every call
	broken bool  // panics
}

func newMemory() *memory {
	return &memory{kept: make(map[string]command.Entry), changed: make(chan struct{})}
}

func (m *memory) set(e command.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[e.ID] = e
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) get(id string) (command.Entry, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		panic("a bug")
	}
	if m.fail != nil {
		return command.Entry{}, nil, m.fail
	}
	e, ok := m.kept[id]
	if !ok {
		return e, m.changed, command.ErrUnknown
	}
	return e, m.changed, nil
}

func (m *memory) Submit(_ context.Context, c command.Command, source string) (command.Entry, bool, error) {
	e, _, err := m.get(c.ID)
	switch {
	case err == nil:
		return e, false, nil
	case m.fail != nil:
		return e, false, err
	case m.refuse != nil:
		return e, false, m.refuse
	case string(c.Payload) == "defaultcfg" && !c.Confirm:
		return e, false, &command.RefusedError{Reason: command.RefusedConfirm, Text: "it has to be confirmed"}
	}
	m.source = source
	e = command.Entry{Command: c, State: command.Queued, Parked: true}
	if c.IMEI == present {
		e.Attempts, e.SentAt, e.Response, e.Instance = 1, c.Created.Add(5*time.Millisecond), []byte("RTC:2026/11/22"), "one"
		e = e.Finished(command.Answered, "", c.Created.Add(300*time.Millisecond))
	}
	m.set(e)
	return e, true, nil
}

func (m *memory) Lookup(_ context.Context, id string) (command.Entry, error) {
	e, _, err := m.get(id)
	return e, err
}

// List has commands in the order of their ids, the last first; Query.Before counts from the first.
func (m *memory) List(_ context.Context, q command.Query) (p command.Page, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.query = q; m.broken {
		panic("a bug")
	}
	ids := slices.Sorted(maps.Keys(m.kept))
	for i := len(ids); i > 0; i-- {
		switch e := m.kept[ids[i-1]]; {
		case q.Before > 0 && int64(i) >= q.Before, q.IMEI != "" && e.IMEI != q.IMEI, q.Open && e.State.Final():
		case len(p.Entries) == q.Limit:
			return p, m.fail
		default:
			p.Entries, p.Next = append(p.Entries, e), int64(i)
		}
	}
	p.Next = 0
	return p, m.fail
}

func (m *memory) Cancel(_ context.Context, id string) (command.Entry, error) {
	e, _, err := m.get(id)
	if err == nil && e.State == command.Queued {
		e = e.Finished(command.Cancelled, "cancelled by its sender", time.Now())
		m.set(e)
	}
	return e, err
}

func (m *memory) Await(ctx context.Context, known command.Entry) (command.Entry, error) {
	for {
		e, changed, err := m.get(known.ID)
		if err != nil {
			return known, err
		}
		if e.State.Final() {
			return e, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

// fleet is who is known, by IMEI. away is the error of a store that does not answer.
type fleet struct {
	known []device.Presence
	away  error
}

func (f fleet) Find(_ context.Context, imei string) (device.Presence, bool, error) {
	for _, p := range f.known {
		if p.IMEI == imei {
			return p, true, f.away
		}
	}
	return device.Presence{}, false, f.away
}

func (f fleet) List(_ context.Context, q device.Query) (page []device.Presence, next string, err error) {
	for _, p := range f.known {
		if p.IMEI > q.After && q.State.Has(&p) {
			page = append(page, p)
		}
		if len(page) == q.Limit {
			return page, p.IMEI, f.away
		}
	}
	return page, "", f.away
}

// connected is a device that is connected.
func connected(imei string) device.Presence {
	at := device.Time{Time: time.Date(2026, 11, 22, 10, 12, 1, 512_000_000, time.UTC)}
	later := device.Time{Time: at.Add(time.Hour)}
	return device.Presence{
		IMEI: imei, Connected: true, Instance: "one", InstanceRun: at, Transport: "tcp", Address: "198.51.100.7:40312",
		ConnectedAt: at, Codec: "8E", Frames: 120, Records: 371, FirstSeen: at, LastSeen: later, Model: "FMB120",
		Login:  device.Login{At: at, Answer: device.LoginAccepted, Address: "198.51.100.7:40312"},
		Logins: 1, Counts: device.Counts{Stored: 371}, LastStored: later,
		LastRecord: &device.LastRecord{Timestamp: later, Fix: "ok", Latitude: 546674250, Longitude: 252560283, Speed: 42},
	}
}

// gone is one that has left.
func gone(imei string) device.Presence {
	p := connected(imei)
	p.Connected, p.ClosedAt, p.CloseReason = false, p.LastSeen, "peer_closed"
	return p
}

// calm is a service that does well.
type calm struct{}

func (calm) Status() *overview.Status {
	at := time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	return &overview.Status{
		Now: at, Instance: "one", Version: "v1", Started: at.Add(-time.Hour), Ready: true,
		Engine:      overview.Engine{Name: "redis 7.0.15", Class: "fsync", Records: new(float64(371))},
		Groups:      []overview.Group{{Name: "flespi", Lag: new(0.0), Unread: new(12.0), OldestSeconds: new(0.4)}},
		Connections: map[string]int{"tcp": 1},
		Alerts: []overview.Alert{{
			Name: "IngestionDeadLetters", Severity: "info", Firing: true, Since: at, FiresAt: at,
		}},
		NotEvaluated: []overview.NotEvaluated{{Name: "IngestionDown", Why: "only from outside"}},
	}
}

// running is a server and what is behind it.
type running struct {
	*Server
	t       *testing.T
	memory  *memory
	log     *testkit.Log
	address string
}

func start(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{t: t, memory: newMemory(), log: testkit.NewLog(t)}
	o.Commands, o.Logger = r.memory, slog.New(slog.NewTextHandler(r.log, nil))
	if o.Devices == nil {
		o.Devices = fleet{known: []device.Presence{connected(present), gone("356307042441015")}}
	}
	if o.Strangers == nil {
		o.Strangers = knockers{all: []stranger.Stranger{lost("356307042441016")}}
	}
	if o.Overview == nil {
		o.Overview = calm{}
	}
	if o.Shedding == nil {
		o.Shedding = &shedding{}
	}
	o.Dictionary = meaning.Embedded
	r.Server = NewServer(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	t.Cleanup(func() {
		r.Close(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// answer is a response and its body.
type answer struct {
	*http.Response
	body []byte
}

// ask sends a request; a body is JSON unless a header says otherwise. The header Host is the request's host.
func (r *running) ask(method, path, body string, header ...string) answer {
	r.t.Helper()
	request, err := http.NewRequest(method, "http://"+r.address+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
		request.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	apitest.Strict().CheckAnswer(r.t, request, response, b)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response, b}
}

// want fails unless the answer has the status, and returns its problem, if it is one.
func (a answer) want(t *testing.T, status int) (p Problem) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if status >= 400 && p.Text == "" {
		t.Errorf("the answer does not say what is wrong: %s", a.body)
	}
	return p
}

func (a answer) entry(t *testing.T, status int) (e Entry) {
	t.Helper()
	a.want(t, status)
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return e
}

func commandsOf(imei string) string { return "/v1/devices/" + imei + "/commands" }
