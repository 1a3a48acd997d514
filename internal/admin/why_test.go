package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
)

// knockers are strangers, and why those of other instances are missing.
type knockers struct {
	all  []stranger.Stranger
	away error
}

func (k knockers) Strangers(context.Context) ([]stranger.Stranger, error) { return k.all, k.away }

// lost is the stranger of the documentation, who knocks at the port for HTTP.
func lost(imei string) stranger.Stranger {
	at := time.Now().Add(-time.Minute)
	return stranger.Stranger{At: at, FirstAt: at, Count: 3, Address: "198.51.100.9:40312", Door: stranger.DoorHTTP,
		Cause: stranger.CauseOnHTTP, Text: "a tracker on a port for HTTP: …",
		First: stranger.Bytes("\x00\x0f" + imei), IMEI: imei, IMEIAs: stranger.AsLogin, Instance: "one"}
}

func TestStrangers(t *testing.T) {
	all := []stranger.Stranger{lost("1"), lost("2"), lost("1")}
	s := start(t, Options{Strangers: knockers{all, errors.New("no route")}})
	for query, want := range map[string]int{"": 3, "?imei=1": 2, "?limit=1": 1, "?imei=9": 0} {
		var list StrangerList
		a := s.ask("GET", "/v1/strangers"+query, "")
		if err := json.Unmarshal(a.body, &list); err != nil || list.Strangers == nil || len(list.Strangers) != want ||
			!strings.Contains(list.Incomplete, "no route") {
			t.Errorf("%q: %s %s", query, a.Status, a.body)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?x=1"} {
		s.ask("GET", "/v1/strangers"+query, "").want(t, 400)
	}
}

// A device carries its verdict; one that was never seen, too.
func TestVerdicts(t *testing.T) {
	service := verdict.Service{Instance: "one"}
	s := start(t, Options{
		Devices:   fleet{known: []device.Presence{connected(present)}},
		Strangers: knockers{all: []stranger.Stranger{lost("20")}}, Service: func() verdict.Service { return service },
	})
	c := clientOf(t, s.address, "")
	for imei, want := range map[string]verdict.Code{present: "fine", "20": "on_http_port", "21": "never_seen"} {
		if imei == present {
			service.Engine = "it hangs"
			want = "engine"
		}
		d, err := c.Why(t.Context(), imei)
		if err != nil || d.Verdict.Code != want || d.IMEI != imei || d.LastSeen.IsZero() == (imei == present) {
			t.Errorf("%s: %+v, %v", imei, d, err)
		}
	}
	s.ask("GET", "/v1/devices/20", "").want(t, 404)
}

// While the store is away nobody is said to have never been seen, unless he has knocked.
func TestVerdictsWithoutTheStore(t *testing.T) {
	s := start(t, Options{Devices: fleet{away: errors.New("no route")},
		Strangers: knockers{[]stranger.Stranger{lost("20")}, errors.New("no route")}})
	if d, err := clientOf(t, s.address, "").Why(t.Context(), "20"); err != nil || d.Verdict.Code != "on_http_port" ||
		!strings.Contains(fmt.Sprint(d.Verdict.Evidence), "no route") {
		t.Errorf("%+v, %v", d, err)
	}
	s.ask("GET", "/v1/devices/21", "").want(t, 503)
}

// The devices with a problem come page by page, the worst first, and each once.
func TestProblems(t *testing.T) {
	known := []device.Presence{connected("10"), gone("20"), gone("30"), connected("40"), connected("50")}
	for i := range known {
		known[i].LastRecord, known[i].LastSeen = nil, Time{Time: time.Now()}
	}
	for _, i := range []int{1, 2} { // left days ago
		known[i].LastSeen = Time{Time: time.Now().Add(-72 * time.Hour)}
	}
	known[3].Since.Repeated = 3
	s := start(t, Options{Devices: fleet{known: known},
		Strangers: knockers{all: []stranger.Stranger{lost("60"), lost("10")}},
		Service:   func() verdict.Service { return verdict.Service{Instance: "one"} }})
	c := clientOf(t, s.address, "")
	for limit := 1; limit <= 5; limit++ {
		var got []string
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			list, err := c.Problems(t.Context(), cursor, limit)
			if err != nil || list.Total != 4 || len(list.Problems) > limit {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, p := range list.Problems {
				got = append(got, p.IMEI+" "+string(p.Verdict.Code))
			}
			cursor = list.Next
		}
		if want := "[60 on_http_port 40 duplicates 20 gone 30 gone]"; fmt.Sprint(got) != want {
			t.Errorf("pages of %d: %v, want %s", limit, got, want)
		}
	}
	for _, query := range []string{"?cursor=x", "?limit=1001", "?x=1"} {
		s.ask("GET", "/v1/problems"+query, "").want(t, 400)
	}
}

// BenchmarkProblems is a page of the devices with a problem, of 100,000 devices that all have one.
func BenchmarkProblems(b *testing.B) {
	logger := slog.New(slog.DiscardHandler)
	m := device.New(device.Options{Instance: "one", Metrics: device.NewMetrics(prometheus.NewRegistry()), Logger: logger})
	long := time.Now().Add(-72 * time.Hour)
	for i := range 100_000 {
		d := m.Hold(fmt.Sprintf("%015d", i))
		visit := d.LoggedIn(device.Visit{At: long, Address: "192.0.2.1:4000", Transport: "tcp"})
		d.Left(visit, long, "idle_timeout", false)
		d.Release()
	}
	s := NewServer(Options{Commands: newMemory(), Devices: m, Overview: calm{}, Logger: logger})
	b.ReportAllocs()
	for b.Loop() {
		if list := s.problems(b.Context(), ranked{rank: -1}, someProblems); list.Total < 90_000 { // the table is in parts
			b.Fatalf("%d", list.Total)
		}
	}
}
