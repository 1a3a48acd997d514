package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSecondServiceOfADirectory ends with an error, until the first one has gone, however it went.
func TestSecondServiceOfADirectory(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"DATA_DIR": filepath.Join(t.TempDir(), "data")}
	s := startServer(t, settings)
	second := map[string]string{"DATA_DIR": settings["DATA_DIR"], "TELTONIKA_PORT": "0", "METRICS_PORT": "0",
		"ADMIN_ADDRESS": ""}
	code, out, errOut := execute(t, second, "", "serve")
	if code != exitFailure || !strings.Contains(out+errOut, "another process serves from this directory") ||
		!strings.Contains(out+errOut, "DATA_DIR "+settings["DATA_DIR"]) {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	if code, out, errOut := execute(t, settings, "", "check"); code != 0 { // runs beside it
		t.Errorf("check: exit code %d: %s%s", code, out, errOut)
	}
	s.kill()
	s = startServer(t, settings)
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	startServer(t, settings)
	if left, err := os.ReadDir(settings["DATA_DIR"]); err != nil || len(left) == 0 {
		t.Error(err)
	} else {
		for _, file := range left {
			if !strings.Contains(file.Name(), ".db") {
				t.Errorf("%s is left behind", file.Name())
			}
		}
	}
}
