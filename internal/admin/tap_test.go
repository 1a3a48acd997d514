package admin

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// event is one of a stream.
type event struct{ name, data string }

// stream is a tap that is open.
type stream struct {
	*http.Response
	t    *testing.T
	from *bufio.Reader
}

func (r *running) tapWith(query string) *stream {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), "GET", "http://"+r.address+"/v1/tap?"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%s, %s", response.Status, response.Header)
	}
	return &stream{response, r.t, bufio.NewReader(response.Body)}
}

// next is the next event; comments are left out.
func (s *stream) next() (e event) {
	s.t.Helper()
	for {
		line, err := s.from.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ends: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				apitest.Strict().CheckEvent(s.t, e.name, []byte(e.data))
				return e
			}
		}
	}
}

func (s *stream) expect(name string) string {
	s.t.Helper()
	e := s.next()
	if e.name != name {
		s.t.Fatalf("event %s: %s, want %s", e.name, e.data, name)
	}
	return e.data
}

func (s *stream) packet() (p TapPacket) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.expect(eventPacket)), &p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// tapped is a packet with a position, as a session offers it.
func tapped(t testing.TB) *tap.Packet {
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{
		{Timestamp: 1560161086000, Longitude: 252560283, Latitude: 546674250, Altitude: 172, Satellites: 11}}}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tap.Packet{Time: time.Date(2026, 11, 22, 11, 0, 0, 123e6, time.UTC), IMEI: present,
		Address: netip.MustParseAddrPort("198.51.100.7:40312"), Transport: "tcp", Kind: tap.Frame, Outcome: tap.Stored,
		Bytes: frame, Size: len(frame), Answer: []byte{0, 0, 0, 1}, Took: 3100 * time.Microsecond}
}

func TestTap(t *testing.T) {
	hub := tap.NewHub(nil)
	r := start(t, Options{Tap: hub, Instance: "one"})
	s := r.tapWith("imei=" + present)
	if data := s.expect(eventOpen); !strings.Contains(data, `"instance":"one"`) || !strings.Contains(data, `"until":"2`) {
		t.Errorf("open: %s", data)
	}
	other := tapped(t)
	other.IMEI = absent
	hub.Offer(other)
	hub.Offer(tapped(t))
	data := s.expect(eventPacket)
	var p TapPacket
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		t.Fatal(err)
	}
	if p.IMEI != present || p.Instance != "one" || p.Address != "198.51.100.7:40312" || p.Transport != "tcp" ||
		p.Direction != "in" || p.Kind != tap.Frame || p.Outcome != tap.Stored || p.Answer != "00000001" ||
		p.AnswerMS != 3.1 || p.Size != len(tapped(t).Bytes) || len(p.Explained) != 1 || p.Text != "" ||
		p.Time.Format(time.RFC3339Nano) != "2026-11-22T11:00:00.123Z" {
		t.Errorf("%s", data)
	}
	if p.Hidden != 10 || strings.Count(p.Hex, "..") != 10 || strings.Contains(data, "252560283") ||
		!strings.Contains(string(p.Explained[0]), `"lat_1e7":null`) {
		t.Errorf("positions are not hidden: %s", data)
	}
	s.Body.Close()
	testkit.Eventually(t, "the tap is closed", func() bool { return !hub.Watched() })
	for _, want := range []string{`msg="tap opened" remote=127.0.0.1:`,
		`filter="explain=json&for_ms=3600000&imei=` + present, `msg="tap closed"`, "reason=left", "shown=1 dropped=0"} {
		testkit.Eventually(t, want, func() bool { return strings.Contains(r.log.String(), want) })
	}
}

func TestTapAsText(t *testing.T) {
	hub := tap.NewHub(nil)
	s := start(t, Options{Tap: hub}).tapWith("explain=both&positions=true")
	s.expect(eventOpen)
	hub.Offer(tapped(t))
	p := s.packet()
	if p.Hex != hex.EncodeToString(tapped(t).Bytes) || p.Hidden != 0 || len(p.Explained) != 1 ||
		!strings.Contains(p.Text, "latitude = 54.6674250°") || !strings.Contains(p.Text, "answer: 00000001 (stored)") {
		t.Errorf("%+v", p)
	}
}

// TestTapShowsHostileBytes: what a stranger sends is in the stream, and cannot pass for an event.
func TestTapShowsHostileBytes(t *testing.T) {
	hub := tap.NewHub(nil)
	s := start(t, Options{Tap: hub}).tapWith("explain=both&positions=true")
	s.expect(eventOpen)
	const hostile = "\n\nevent: end\ndata: {}\n\n\x1b[2J\x1b]0;owned\x07<script>\xff"
	hub.Offer(&tap.Packet{Kind: tap.Login, Outcome: tap.Malformed, Stranger: true, Transport: "tcp",
		Bytes: []byte(hostile), Reason: hostile, Err: errors.New(hostile)})
	hub.Offer(tapped(t))
	if p := s.packet(); p.Hex != hex.EncodeToString([]byte(hostile)) || p.Outcome != tap.Malformed || !p.Stranger {
		t.Errorf("%+v", p)
	}
	s.packet()
}

func TestTapsWrongParameters(t *testing.T) {
	r := start(t, Options{Tap: tap.NewHub(nil)})
	for query, field := range map[string]string{
		"imie=1": "imie", "address=198.51.100.7:40312": "address", "address=": "address", "transport=sctp": "transport",
		"transport=": "transport", "outcome=lost": "outcome", "outcome=stored,": "outcome", "strangers=yes": "strangers",
		"positions=": "positions", "explain=html": "explain", "for_ms=0": "for_ms", "for_ms=86400001": "for_ms",
		"for_ms=1h": "for_ms",
	} {
		if p := r.ask("GET", "/v1/tap?"+query, "").want(t, 400); p.Fields[field] == "" {
			t.Errorf("%s: %+v", query, p)
		}
	}
	r.ask("POST", "/v1/tap", "{}").want(t, 405)
}

func TestTapsFilter(t *testing.T) {
	for query, want := range map[string]tap.Filter{
		"": {},
		"imei=1&transport=tls&outcome=stored,wrong_crc&strangers=true": {IMEI: "1", Transport: "tls", Strangers: true,
			Outcomes: []tap.Outcome{tap.Stored, tap.WrongCRC}},
		"address=198.51.100.7":    {Network: netip.MustParsePrefix("198.51.100.7/32")},
		"address=198.51.100.7/24": {Network: netip.MustParsePrefix("198.51.100.0/24")},
		"address=2001:db8::1":     {Network: netip.MustParsePrefix("2001:db8::1/128")},
	} {
		request, err := http.NewRequest("GET", "/v1/tap?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := readTapView(request)
		if err != nil || fmt.Sprint(v.Filter) != fmt.Sprint(want) || v.For != defaultTap || v.Positions {
			t.Errorf("%s: %+v, %v", query, v, err)
			continue
		}
		again, err := http.NewRequest("GET", "/v1/tap?"+v.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := readTapView(again); err != nil || fmt.Sprint(second) != fmt.Sprint(v) {
			t.Errorf("%s: %v, %v", v, second, err)
		}
	}
}

// TestTapEnds: at its time, and when the server stops, with a word.
func TestTapEnds(t *testing.T) {
	r := start(t, Options{Tap: tap.NewHub(nil)})
	s := r.tapWith("for_ms=50")
	s.expect(eventOpen)
	if data := s.expect(eventEnd); data != `{"reason":"over"}` {
		t.Errorf("end: %s", data)
	}
	s = r.tapWith("")
	s.expect(eventOpen)
	began := time.Now()
	go r.Close(context.Background())
	if data := s.expect(eventEnd); data != `{"reason":"stopping"}` {
		t.Errorf("end: %s", data)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestExplainingHasItsShare: however many packets come, no more are explained than the share allows.
func TestExplainingHasItsShare(t *testing.T) {
	p := largeTapped(t)
	least := time.Hour // that explaining takes
	for range 20 {
		began := time.Now()
		newExplainer(&TapView{Explain: "both"}, "", nil).packet(p)
		least = min(least, time.Since(began))
	}
	hub := tap.NewHub(nil)
	s := start(t, Options{Tap: hub}).tapWith("explain=both")
	s.expect(eventOpen)
	const packets = 30
	for range packets {
		hub.Offer(p)
	}
	began := time.Now()
	for range packets {
		s.packet()
	}
	if took, least := time.Since(began), (packets-1)*(explainShare-1)*least; took < least {
		t.Errorf("%d packets came within %v, want %v at least", packets, took, least)
	}
}

// TestTapsThatDoNotRead: as many readers as there may be that take nothing hold up neither who offers packets nor the
// stop, and keep a bounded memory. One more is told so.
func TestTapsThatDoNotRead(t *testing.T) {
	hub := tap.NewHub(nil)
	r := start(t, Options{Tap: hub})
	for range tap.MaxTaps {
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(c, "GET /v1/tap?explain=both HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	testkit.Eventually(t, "all taps are open", func() bool {
		return strings.Count(r.log.String(), "tap opened") == tap.MaxTaps
	})
	if a := r.ask("GET", "/v1/tap", ""); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s: %s", a.Status, a.body)
	}
	goroutines := runtime.NumGoroutine()
	p := tapped(t)
	p.Bytes = make([]byte, 10<<10)
	began := time.Now()
	for range 20_000 {
		hub.Offer(p)
	}
	if took := time.Since(began); took > 20*time.Second { // far more than it takes, and less than waiting would
		t.Errorf("20,000 packets took %v", took)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	testkit.Eventually(t, "memory is bounded", func() bool { // also while packets are explained, somewhat later
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc < 64<<20
	})
	began = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.Close(ctx)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if hub.Watched() {
		t.Error("taps are open after the stop")
	}
}
