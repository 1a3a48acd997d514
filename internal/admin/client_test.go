package admin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

func TestClientAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9091": "http://127.0.0.1:9091", ":9091": "http://127.0.0.1:9091", "0.0.0.0:1": "http://127.0.0.1:1",
		"[::]:9091": "http://[::1]:9091", "[::1]:9091": "http://[::1]:9091", "tracker-1:9091": "http://tracker-1:9091",
	} {
		if c, err := NewClient(address, ""); err != nil || c.URL() != want {
			t.Errorf("%s: %v, %v", address, c, err)
		}
	}
	if _, err := NewClient("127.0.0.1:0", ""); !errors.Is(err, ErrNoPort) {
		t.Error(err)
	}
	if _, err := NewClient("127.0.0.1", ""); err == nil {
		t.Error("an address without a port is taken")
	}
}

func clientOf(t *testing.T, address, token string) *Client {
	t.Helper()
	c, err := NewClient(strings.TrimPrefix(address, "http://"), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClient(t *testing.T) {
	s := start(t, Options{Token: token})
	c := clientOf(t, s.address, token)
	e, err := c.Submit(t.Context(), present, &Request{Command: new("getinfo"), WaitMS: new(int64(20_000))})
	if err != nil || e.State != command.Answered || *e.Response != "RTC:2026/11/22" || e.SentAt.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	var p *Problem
	if _, err = c.Submit(t.Context(), present, &Request{Command: new("defaultcfg")}); !errors.As(err, &p) ||
		p.Reason != command.RefusedConfirm {
		t.Errorf("%v", err)
	}
	if _, err = c.Submit(t.Context(), present, &Request{Codec: new(13)}); !errors.As(err, &p) || len(p.Fields) != 2 ||
		p.Status != 400 {
		t.Errorf("%v", err)
	}
	if _, err = c.Cancel(t.Context(), present, e.ID); !errors.As(err, &p) || p.Status != 409 ||
		p.Entry.State != command.Answered {
		t.Errorf("%v", err)
	}
	found := 0
	for d, err := range c.Devices(t.Context(), "", device.StateConnected) {
		if err != nil || d.IMEI != present || d.ConnectedAt.IsZero() {
			t.Errorf("%+v, %v", d, err)
		}
		found++
	}
	for d, err := range c.Devices(t.Context(), absent, device.StateConnected) {
		t.Errorf("%+v, %v", d, err)
	}
	for _, err := range clientOf(t, s.address, "another token").Devices(t.Context(), "", device.StateConnected) {
		if !errors.As(err, &p) || p.Status != 401 {
			t.Error(err)
		}
		found++
	}
	if found != 2 {
		t.Errorf("%d found", found)
	}
}

// TestClientAsksAgain: a server that stops waiting early, as one does that is closed, is asked again.
func TestClientAsksAgain(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		state := command.Queued
		if len(asked) == 2 {
			state = command.Answered
		}
		writeJSON(w, 200, &Entry{IMEI: present, ID: "a", State: state})
	}))
	defer server.Close()
	c := clientOf(t, server.URL, "")
	e, err := c.Await(t.Context(), Entry{IMEI: present, ID: "a", State: command.Queued}, 2*time.Minute)
	if err != nil || e.State != command.Answered || len(asked) != 2 {
		t.Fatalf("%+v, %v, asked %q", e, err, asked)
	}
	if !strings.Contains(asked[0], "wait_ms=60000") || !strings.HasPrefix(asked[1], "GET "+commandPath(present, "a")+"?") {
		t.Errorf("asked %q", asked)
	}
}

func TestNotThisAPI(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, says string
	}{
		{200, "<html>", "not this API"},
		{200, `{"records":[]}`, "not a list"},
		{200, `{"devices":[{"imei":"1"}`, io.ErrUnexpectedEOF.Error()},
		{200, `{"devices":[{"imei":"1"}],"next":"1"`, io.ErrUnexpectedEOF.Error()},
		{404, "404 page not found", "not this API: 404 Not Found: 404 page"},
		{302, "", "not this API: 302"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		var last error
		for _, err := range clientOf(t, server.URL, "").Devices(t.Context(), "", device.StateConnected) {
			last = err
		}
		server.Close()
		if last == nil || !strings.Contains(last.Error(), c.says) {
			t.Errorf("%d %s: %v", c.status, c.body, last)
		}
	}
}
