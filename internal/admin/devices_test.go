package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

func TestDevices(t *testing.T) {
	silent := device("9")
	silent.Codec, silent.Model, silent.Frames, silent.Records = "", "", 0, 0
	s := start(t, Options{Devices: fleet{silent, device(present), device("10")}})
	const rest = `"since":"2026-11-22T10:12:01.512Z","remote":"198.51.100.7:40312","transport":"tcp",`
	const end = `"last_seen":"2026-11-22T11:12:01.512Z"`
	shown := func(imei string) string {
		return `{"imei":"` + imei + `",` + rest + `"codec":"8E","frames":120,"records":371,` + end + `,"model":"FMB120"}` +
			"\n"
	}
	nothing := `{"imei":"9",` + rest + `"frames":0,"records":0,` + end + `}` + "\n"
	for path, want := range map[string]string{
		"":                   `{"devices":[` + shown("10") + "," + shown(present) + "," + nothing + "]}\n",
		"?imei=9":            `{"devices":[` + nothing + "]}\n",
		"?imei=8":            `{"devices":[]}` + "\n",
		"/" + present:        shown(present),
		"/8":                 `{"error":"the device is not connected to this instance"}` + "\n",
		"?imie=9":            `{"error":"invalid fields: imie","fields":{"imie":"is unknown"}}` + "\n",
		"?imei=9&imei=10":    `{"error":"invalid fields: imei","fields":{"imei":"must be given once"}}` + "\n",
		"/" + present + "?x": `{"error":"invalid fields: x","fields":{"x":"is unknown"}}` + "\n",
	} {
		if got := s.ask("GET", "/v1/devices"+path, ""); string(got.body) != want {
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

// pieces knows how an answer was written.
type pieces struct {
	httptest.ResponseRecorder
	largest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.ResponseRecorder.Write(b)
}

// crowd is a large fleet, in no order.
type crowd int

func (c crowd) Device(imei string) (command.Device, bool) {
	for d := range c.Devices() {
		if d.IMEI == imei {
			return d, true
		}
	}
	return command.Device{}, false
}

func (c crowd) Devices() iter.Seq[command.Device] {
	return func(yield func(command.Device) bool) {
		for i := range int(c) {
			if !yield(device(fmt.Sprintf("%015d", i*7919%int(c)))) {
				return
			}
		}
	}
}

func TestManyDevicesInPieces(t *testing.T) {
	const many = 100_000
	s := NewServer(Options{Commands: newMemory(), Devices: crowd(many), Logger: slog.New(slog.DiscardHandler)})
	w := &pieces{ResponseRecorder: *httptest.NewRecorder()}
	w.Body = &bytes.Buffer{}
	s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/devices", nil))
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
