package ops

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

type promise string

func (p promise) String() string { return string(p) }

// TestLinks: whoever opens the port in a browser finds what there is.
func TestLinks(t *testing.T) {
	page := ""
	none := func() []string { return nil }
	s := NewServer(Options{
		Gatherer: prometheus.NewRegistry(), NotReady: none, Warnings: none, Durability: promise("stored"),
		Page: func() string { return page }, MaxConnections: 8, Logger: slog.New(slog.DiscardHandler),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close(context.Background())
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	get := func(path string) (int, string) {
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request(t, "http://"+l.Addr().String()+path))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if _, body := get("/"); !strings.Contains(body, "page is off") {
		t.Errorf("without a page: %s", body)
	}
	page = "http://127.0.0.1:9091/"
	_, body := get("/")
	for _, link := range []string{"/metrics", "/readyz", "/healthz", page} {
		if !strings.Contains(body, `<a href="`+link+`">`) {
			t.Errorf("no link to %s: %s", link, body)
		}
	}
	for path, want := range map[string]int{"/": 200, "/metrics": 200, "/readyz": 200, "/healthz": 200, "/nothing": 404} {
		if status, _ := get(path); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
