package admin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// desk works on a real publisher, whose engine has these dead letters.
func desk(t *testing.T, letters ...engine.DeadLetter) (*deadletter.Desk, *testkit.Engine) {
	t.Helper()
	e := testkit.NewEngine(1)
	p := publish.New(publish.Options{
		Engine: e, Capacity: 300, LargestFrame: teltonika.MaxRecords, Timeout: 5 * time.Second,
		Metrics: publish.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	b := &engine.Batch{DeadLetters: letters, Results: make([]engine.Result, len(letters))}
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
	return &deadletter.Desk{Store: e, Replayer: deadletter.Replayer{Publisher: p}}, e
}

// buried is a dead letter whose frame is good, or broken.
func buried(t *testing.T, imei string, good bool) engine.DeadLetter {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: []teltonika.Record{{Timestamp: 1_700_000_000_000}}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !good {
		body := append([]byte(nil), teltonika.Frame(frame).Body()...)
		body[len(body)-1] = 7
		frame = teltonika.AppendFrame(nil, body)
	}
	return engine.DeadLetter{DeviceID: imei, Codec: "8", Reason: "malformed", Received: time.UnixMilli(1_700_000_000_500),
		Transport: engine.TCP, Frame: frame}
}

func (r *running) deadLetters(parameters string) (l DeadLetterList) {
	r.t.Helper()
	a := r.ask("GET", "/v1/deadletters"+parameters, "")
	a.want(r.t, 200)
	if err := json.Unmarshal(a.body, &l); err != nil {
		r.t.Fatal(err)
	}
	return l
}

func TestDeadLettersInPages(t *testing.T) {
	var letters []engine.DeadLetter
	for i := range 7 {
		letters = append(letters, buried(t, fmt.Sprint("35630704244101", i%2), true))
	}
	d, _ := desk(t, letters...)
	s := start(t, Options{DeadLetters: d})
	var seen []string
	next := ""
	for pages := 1; ; pages++ {
		page := s.deadLetters("?limit=3&after=" + next)
		for _, l := range page.DeadLetters {
			seen = append(seen, l.Ref)
		}
		if next = page.Next; next == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if all := s.deadLetters(""); len(seen) != 7 || len(all.DeadLetters) != 7 || all.Next != "" {
		t.Errorf("seen %q of %+v", seen, all)
	}
	one := s.deadLetters("?device=356307042441011&reason=malformed")
	if len(one.DeadLetters) != 3 || one.DeadLetters[0] != (deadletter.Listed{
		Ref: seen[1], Received: "2023-11-14T22:13:20.500Z", DeviceID: "356307042441011", Reason: "malformed", Codec: "8",
		Bytes: len(letters[0].Frame), Claimed: 1, Transport: "tcp",
	}) {
		t.Errorf("of one device: %+v", one)
	}
	s.ask("GET", "/v1/deadletters?after=gone", "").want(t, 410)
	for _, wrong := range []string{"limit=0", "limit=201", "limit=x", "page=2"} {
		s.ask("GET", "/v1/deadletters?"+wrong, "").want(t, 400)
	}
}

func TestDeadLetterShownReplayedDeleted(t *testing.T) {
	d, e := desk(t, buried(t, present, true), buried(t, present, false))
	s := start(t, Options{DeadLetters: d})
	refs := s.deadLetters("").DeadLetters
	good, broken := "/v1/deadletters/"+refs[0].Ref, "/v1/deadletters/"+refs[1].Ref
	var shown DeadLetter
	a := s.ask("GET", good, "")
	a.want(t, 200)
	if err := json.Unmarshal(a.body, &shown); err != nil || !strings.HasPrefix(shown.Frame, "00000000") ||
		!strings.Contains(shown.Explained, "2023-11-14") || shown.DeviceID != present {
		t.Errorf("%v: %s", err, a.body)
	}
	if p := s.ask("POST", broken+"/replay", "{}").want(t, 409); !strings.Contains(p.Text, "it stays: ") {
		t.Errorf("%q", p.Text)
	}
	a = s.ask("POST", good+"/replay", "{}")
	a.want(t, 200)
	if want := `{"published":1,"duplicates":0,"messages":0,"dead_lettered":0}` + "\n"; string(a.body) != want {
		t.Errorf("%s", a.body)
	}
	s.ask("POST", good+"/replay", "{}").want(t, 404)
	s.ask("DELETE", broken, "").want(t, 200)
	s.ask("DELETE", broken, "").want(t, 404)
	s.ask("GET", broken, "").want(t, 404)
	if left := s.deadLetters(""); len(left.DeadLetters) != 0 || len(e.Records()) != 1 {
		t.Errorf("left %+v, stored %+v", left, e.Records())
	}
	if !s.log.Has(`msg="dead letter replayed" ref=`+refs[0].Ref) ||
		!s.log.Has(`msg="dead letter deleted" ref=`+refs[1].Ref) {
		t.Errorf("log:\n%s", s.log)
	}
}

// TestDeadLettersWithoutEngine: one that fails is said to, and one that cannot.
func TestDeadLettersWithoutEngine(t *testing.T) {
	d, e := desk(t, buried(t, present, true))
	s := start(t, Options{DeadLetters: d})
	ref := s.deadLetters("").DeadLetters[0].Ref
	e.Fail(func(*engine.Batch) error { return &engine.Error{Err: fmt.Errorf("disk full")} })
	if p := s.ask("POST", "/v1/deadletters/"+ref+"/replay", "{}").want(t, 503); !strings.Contains(p.Text, "disk full") {
		t.Errorf("%q", p.Text)
	}
	if len(s.deadLetters("").DeadLetters) != 1 {
		t.Error("it is gone")
	}
	start(t, Options{}).ask("GET", "/v1/deadletters", "").want(t, 501)
}
