package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestHealthcheck(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir()})
	_, port, err := net.SplitHostPort(s.http)
	if err != nil {
		t.Fatal(err)
	}
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "broken inside", http.StatusInternalServerError)
	}))
	defer sick.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	none := healthURL(testkit.FreePort(t))

	for _, c := range []struct {
		name     string
		args     []string
		settings map[string]string
		code     int
		says     string
	}{
		{"by setting", nil, map[string]string{"METRICS_PORT": port}, 0, "alive"},
		{"by address", []string{"--url", "http://" + s.http + "/healthz"}, map[string]string{"METRICS_PORT": "0"}, 0,
			"alive"},
		{"through no proxy", nil, map[string]string{"METRICS_PORT": port, "HTTP_PROXY": none, "http_proxy": none}, 0,
			"alive"},
		{"any free port", nil, map[string]string{"METRICS_PORT": "0"}, 78, "--url"},
		{"wrong setting", nil, map[string]string{"METRICS_PORT": "x"}, 78, "METRICS_PORT"},
		{"nobody listens", []string{"--url", none}, nil, 1, "refused"},
		{"sick", []string{"--url", sick.URL}, nil, 1, "500 Internal Server Error: broken inside"},
		{"silent", []string{"--url", "http://" + silent.Addr().String(), "--timeout", "100ms"}, nil, 1,
			"does not answer in time"},
		{"no address", []string{"--url", "::"}, nil, 2, "--url"},
		{"no time", []string{"--timeout", "0"}, nil, 2, "--timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := execute(t, c.settings, "", append([]string{"healthcheck"}, c.args...)...)
			if code != c.code || !strings.Contains(out+errOut, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, c.code, c.says, out, errOut)
			}
		})
	}

	// A process that is there and does nothing is not alive.
	testkit.Freeze(t, s.cmd.Process.Pid)
	start := time.Now()
	code, _, errOut := execute(t, map[string]string{"METRICS_PORT": port}, "", "healthcheck", "--timeout", "200ms")
	if code != 1 || time.Since(start) > patience/2 {
		t.Errorf("exit code %d after %v: %s", code, time.Since(start), errOut)
	}
	s.cmd.Process.Signal(syscall.SIGCONT)
}
