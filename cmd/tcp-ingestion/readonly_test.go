package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// makeReadOnly mounts the file over itself, not to be written, which holds for root too. The directory stays as it was.
func makeReadOnly(t *testing.T, path string) (heal func()) {
	t.Helper()
	if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("bind mount (the tests need root): %v", err)
	}
	mounted := true
	heal = func() {
		if !mounted {
			return
		}
		mounted = false
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}
	t.Cleanup(heal)
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("remount read-only: %v", err)
	}
	return heal
}

// TestDatabaseThatCannotBeWritten finds out about a read-only file before the first frame does: SQLite opens it, and
// lets it be locked like any other.
func TestDatabaseThatCannotBeWritten(t *testing.T) {
	settings := map[string]string{"DATA_DIR": t.TempDir()}
	makeFiles(t, settings)
	heal := makeReadOnly(t, filepath.Join(settings["DATA_DIR"], "telemetry.db"))
	if code, out, errOut := execute(t, settings, "", "check"); code != 1 || !strings.Contains(errOut, "not writable") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	s := startServer(t, settings)
	wantReadyz := func(status int, text string) {
		t.Helper()
		testkit.EventuallyIn(t, "readyz is as it should be", readySoon, func() bool {
			is, body := s.get("/readyz")
			return is == status && strings.Contains(body, text)
		})
	}
	wantReadyz(http.StatusServiceUnavailable, "not writable")
	heal()
	wantReadyz(http.StatusOK, "")
}

// TestCommandsThatCannotBeKept says that there will be no commands, which is no reason to keep devices away.
func TestCommandsThatCannotBeKept(t *testing.T) {
	settings := map[string]string{"DATA_DIR": t.TempDir()}
	makeFiles(t, settings)
	heal := makeReadOnly(t, filepath.Join(settings["DATA_DIR"], "commands.db"))
	code, out, errOut := execute(t, settings, "", "check")
	if code != 1 || !strings.Contains(errOut, "commands cannot be kept") || !strings.Contains(errOut, "not writable") {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	s := startServer(t, settings)
	testkit.EventuallyIn(t, "readyz warns of it", readySoon, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusOK && strings.Contains(body, "commands cannot be kept") &&
			strings.Contains(body, "not writable")
	})
	heal()
	testkit.EventuallyIn(t, "readyz warns no more", readySoon, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusOK && !strings.Contains(body, "warnings")
	})
	s.wantLogged("command database can be used again")
}
