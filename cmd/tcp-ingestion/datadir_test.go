package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
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

// makeFiles has the service make its files, which no command beside it does.
func makeFiles(t *testing.T, settings map[string]string) {
	t.Helper()
	s := startServer(t, settings)
	testkit.EventuallyIn(t, "the files", patience, func() bool {
		for _, name := range []string{"telemetry.db", "commands.db"} {
			if _, err := os.Stat(filepath.Join(settings["DATA_DIR"], name)); err != nil {
				return false
			}
		}
		status, _ := s.get("/readyz")
		return status == 200
	})
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}

// TestReadersMakeNoStore: where nothing is kept that is said, and nothing is made.
func TestReadersMakeNoStore(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"tail", "--count", "1"}, {"tail", "--messages", "--count", "1"}, {"deadletters", "list"},
		{"deadletters", "replay", "--all", "--dry-run"}, {"redecode"}, {"dictionary", "unknown"},
		{"dictionary", "explain", first}, {"migrate"}, {"check"},
	} {
		parent := t.TempDir()
		settings := map[string]string{"DATA_DIR": filepath.Join(parent, "data")}
		code, out, errOut := execute(t, settings, "", args...)
		want := exitFailure
		if args[0] == "check" {
			want = exitOK
		}
		if code != want || !strings.Contains(out+errOut, "no telemetry.db in DATA_DIR "+settings["DATA_DIR"]) {
			t.Errorf("%q: exit code %d: %s%s", args, code, out, errOut)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%q leaves %v behind, %v", args, left, err)
		}
	}
}
