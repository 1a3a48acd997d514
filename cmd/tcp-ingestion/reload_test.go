package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestHangupReloadsTheLogLevel: SIGHUP is no restart. A level that cannot be read leaves the old one.
func TestHangupReloadsTheLogLevel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "level")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("info\n")
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL_FILE": file})
	device := testkit.Dial(t, s.devices)
	device.MustLogin("356307042441013")

	write("loud\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "the wrong level is named", func() bool {
		return s.logged("log level not reloaded") && s.logged("reloaded in part")
	})
	if len(s.lines("reloaded")) != 0 {
		t.Error("called a success")
	}

	write("debug\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	getinfo, err := hex.DecodeString("000000000000000f0c010500000007676574696e666f0100004312")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "debug lines appear", func() bool {
		device.Send(getinfo)
		return s.logged("message received")
	})
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestPprof(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "PPROF_ADDRESS": "127.0.0.1:0"})
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.pprof + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 || len(body) == 0 {
		t.Errorf("%d %s %v", response.StatusCode, body, err)
	}
	if status, _ := s.get("/debug/pprof/"); status != 404 {
		t.Errorf("profiles on the metrics port: %d", status)
	}
}
