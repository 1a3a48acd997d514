package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

func TestDevices(t *testing.T) {
	silent := connected("9")
	silent.Codec, silent.Model, silent.Frames, silent.Records = "", "", 0, 0
	known := []device.Presence{connected("10"), gone("20"), connected(present), silent}
	s := start(t, Options{Devices: fleet{known: known}})
	row := func(p device.Presence) string {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	list := func(rest string, devices ...device.Presence) string {
		var rows []string
		for _, p := range devices {
			rows = append(rows, row(p))
		}
		return `{"devices":[` + strings.Join(rows, ",") + "]" + rest + "}\n"
	}
	for path, want := range map[string]string{
		"":                   list("", connected("10"), connected(present), silent),
		"?state=gone":        list("", gone("20")),
		"?state=all":         list("", known...),
		"?state=all&limit=2": list(`,"next":"20"`, known[:2]...),
		"?limit=1":           list(`,"next":"10"`, known[0]),
		"?imei=9":            list("", silent),
		"?imei=20":           list(""),
		"?imei=20&state=all": list("", gone("20")),
		"?imei=8":            list(""),
		"?imie=9":            `{"error":"invalid fields: imie","fields":{"imie":"is unknown"}}` + "\n",
		"?imei=9&imei=10":    `{"error":"invalid fields: imei","fields":{"imei":"must be given once"}}` + "\n",
		"?limit=0":           `{"error":"invalid fields: limit","fields":{"limit":"must be 1 to 1000"}}` + "\n",
		"?state=x":           `{"error":"invalid fields: state","fields":{"state":"must be connected, gone or all"}}` + "\n",
		"/" + present + "?x": `{"error":"invalid fields: x","fields":{"x":"is unknown"}}` + "\n",
	} {
		if got := s.ask("GET", "/v1/devices"+path, ""); string(got.body) != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got.body, want)
		}
	}
	for path, want := range map[string]string{ // with their verdicts
		"/" + present: strings.TrimSuffix(row(connected(present)), "}\n") + `,"verdict":{`,
		"/20":         strings.TrimSuffix(row(gone("20")), "}\n") + `,"verdict":{`,
		"?imei=20&state=all&verdict=true": `{"devices":[` + strings.TrimSuffix(row(gone("20")), "}\n") +
			`,"verdict":{"code":`,
		"?verdict=yes": `{"error":"invalid fields: verdict"`,
		"/8":           `{"error":"the device was never seen","verdict":{`,
	} {
		if got := s.ask("GET", "/v1/devices"+path, ""); !strings.HasPrefix(string(got.body), want) {
			t.Errorf("%s:\n got %s\nwant %s", path, got.body, want)
		}
	}
	for range maxListings {
		s.listing <- struct{}{}
	}
	if a := s.ask("GET", "/v1/devices", ""); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s: %s", a.Status, a.body)
	}
}

// While the store of devices is away, what this instance knows is told, and that it may not be all.
func TestDevicesWithoutTheStore(t *testing.T) {
	s := start(t, Options{Devices: fleet{known: []device.Presence{connected(present)}, away: errors.New("no route")}})
	for path, status := range map[string]int{"": 200, "/" + present: 200, "/8": 503} {
		a := s.ask("GET", "/v1/devices"+path, "")
		if a.StatusCode != status || !strings.Contains(string(a.body), "no route") {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	count := 0
	for _, err := range clientOf(t, s.address, "").Devices(t.Context(), "", device.StateConnected) {
		if incomplete := Incomplete(""); err != nil && !errors.As(err, &incomplete) {
			t.Error(err)
		}
		count++
	}
	if count != 2 { // the device and the error
		t.Errorf("%d", count)
	}
}

// pieces knows how an answer was written.
type pieces struct {
	httptest.ResponseRecorder
	largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.ResponseRecorder.Write(b)
}

// TestManyDevicesInPieces says what a list of many costs, and a page of it.
func TestManyDevicesInPieces(t *testing.T) {
	const many = 100_000
	logger := slog.New(slog.DiscardHandler)
	m := device.New(device.Options{Metrics: device.NewMetrics(prometheus.NewRegistry()), Logger: logger})
	for i := range many {
		imei := fmt.Sprintf("%015d", i*7919%many)
		m.Hold(imei).LoggedIn(device.Visit{At: time.Now(), Address: "198.51.100.7:40312", Transport: "tcp"})
	}
	s := NewServer(Options{Commands: newMemory(), Devices: m, Logger: logger})
	ask := func(path string) *pieces {
		w := &pieces{ResponseRecorder: *httptest.NewRecorder()}
		w.Body = &bytes.Buffer{}
		s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	begin := time.Now()
	w := ask("/v1/devices")
	whole := time.Since(begin)
	if w.largest > 64<<10 {
		t.Errorf("%d bytes written at once, of %d", w.largest, w.Body.Len())
	}
	var list struct{ Devices []Device }
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Devices) != many {
		t.Fatalf("%d devices, %v", len(list.Devices), err)
	}
	for i, d := range list.Devices {
		if want := fmt.Sprintf("%015d", i); d.IMEI != want {
			t.Fatalf("device %d is %s", i, d.IMEI)
		}
	}
	begin = time.Now()
	w = ask("/v1/devices?limit=200&cursor=000000000050000")
	t.Logf("a page of 200 of %d takes %v, a list of all %v", many, time.Since(begin), whole)
	page := w.Body.String()
	if n := strings.Count(page, `"imei":`); n != 200 || !strings.Contains(page, `"next":"000000000050200"`) {
		t.Errorf("%d devices in the page", n)
	}
}

// TestPanicInAList: one that has begun is cut off, so that nobody takes it for whole.
func TestPanicInAList(t *testing.T) {
	s := start(t, Options{})
	broken := s.contain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(bytes.Repeat([]byte{' '}, 1<<20))
		panic("a bug")
	}))
	server := httptest.NewUnstartedServer(broken)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.Start()
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("%d bytes and no error", n)
	}
}
