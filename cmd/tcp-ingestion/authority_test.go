package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	first  = "356307042441013"
	second = "356307042441021"
	third  = "356307042441039"
)

// redisAllowList are the settings of a server that keeps records itself and its allow-list in Redis.
func redisAllowList(t *testing.T, r *testkit.Redis, strict string) map[string]string {
	return map[string]string{
		"ENGINE": "embedded", "DATA_DIR": t.TempDir(), "REDIS_URL": r.URL(), "DEVICE_AUTHORITY_MODE": "redis_allow_list",
		"DEVICE_ALLOW_LIST_REFRESH": "100ms", "STRICT_DEVICE_AUTH": strict,
	}
}

// fileAllowList are the settings of a server with its allow-list in a file, and the file.
func fileAllowList(t *testing.T, strict, content string) (settings map[string]string, path string) {
	path = filepath.Join(t.TempDir(), "devices")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"DATA_DIR": t.TempDir(), "DEVICE_AUTHORITY_MODE": "file_allow_list", "DEVICE_ALLOW_LIST": path,
		"DEVICE_ALLOW_LIST_REFRESH": "1h", "STRICT_DEVICE_AUTH": strict,
	}, path
}

func login(t *testing.T, s *server, imei string, want byte) *testkit.Tracker {
	t.Helper()
	d := testkit.Dial(t, s.devices)
	if answer := d.Login(imei); answer != want {
		t.Fatalf("login of %s answered with %02x, want %02x", imei, answer, want)
	}
	return d
}

// sends fails unless the device is served.
func sends(d *testkit.Tracker, at int64) {
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: uint64(at)})
	d.ExpectACK(1)
}

func TestDevicesAreLabelled(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("SADD", "devices:allowlist", first)
	s := startServer(t, redisAllowList(t, r, "false"))
	sends(login(t, s, first, teltonika.LoginAccept), 1)
	unknown := login(t, s, second, teltonika.LoginAccept)
	sends(unknown, 1)
	for labels, want := range map[string]float64{
		`teltonika_handshake_total{known="known",result="accepted",transport="tcp"}`:   1,
		`teltonika_handshake_total{known="unknown",result="accepted",transport="tcp"}`: 1,
		"teltonika_allow_list_devices": 1,
	} {
		if n := s.metric(labels); n != want {
			t.Errorf("%s is %v, want %v", labels, n, want)
		}
	}
	r.Do("DEL", "devices:allowlist")
	testkit.Eventually(t, "nobody is known", func() bool { return s.metric("teltonika_allow_list_devices") == 0 })
	sends(unknown, 2)
	sends(login(t, s, first, teltonika.LoginAccept), 2)
}

func TestStrictAllowListInRedis(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	r.Do("SADD", "devices:allowlist", first, second)
	s := startServer(t, redisAllowList(t, r, "true"))
	stays, goes := login(t, s, first, teltonika.LoginAccept), login(t, s, second, teltonika.LoginAccept)
	login(t, s, third, teltonika.LoginRefuse).ExpectClosed()
	sends(goes, 1)

	r.Do("SREM", "devices:allowlist", second)
	goes.ExpectClosed()
	login(t, s, second, teltonika.LoginRefuse).ExpectClosed()
	sends(stays, 1)
	r.Do("SADD", "devices:allowlist", third)
	testkit.Eventually(t, "the new device is on the list", func() bool {
		return s.metric("teltonika_allow_list_devices") == 2
	})
	login(t, s, third, teltonika.LoginAccept)
	s.wantMetric(`teltonika_connections_closed_total{reason="revoked",transport="tcp"}`, 1)

	// Whatever happens to Redis now, the last good list counts.
	r.Kill()
	failed := `teltonika_allow_list_refresh_total{result="failed"}`
	testkit.Eventually(t, "refreshing fails", func() bool { return s.metric(failed) >= 2 })
	sends(login(t, s, third, teltonika.LoginAccept), 1)
	login(t, s, second, teltonika.LoginRefuse)
	r.Restart() // empty
	testkit.Eventually(t, "the list is empty", func() bool {
		return s.metric(`teltonika_allow_list_refresh_total{result="empty"}`) >= 2
	})
	sends(stays, 2)
	login(t, s, second, teltonika.LoginRefuse)
	if n := s.metric("teltonika_allow_list_age_seconds"); n <= 0 {
		t.Errorf("age %v s", n)
	}
	if status, body := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz %d %s", status, body)
	}
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAllowListFileIsReloadedAtSIGHUP(t *testing.T) {
	t.Parallel()
	settings, path := fileAllowList(t, "true", "# fleet\n"+first+"\nnot an imei\n")
	s := startServer(t, settings)
	goes := login(t, s, first, teltonika.LoginAccept)
	login(t, s, second, teltonika.LoginRefuse)
	testkit.Eventually(t, "the bad line is logged", func() bool {
		return strings.Contains(s.tail(100), `"first":["line 3"]`)
	})
	if err := os.WriteFile(path+".new", []byte(second+"\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	goes.ExpectClosed()
	login(t, s, second, teltonika.LoginAccept)
	login(t, s, first, teltonika.LoginRefuse)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGHUP)
	testkit.Eventually(t, "reloading fails", func() bool {
		return s.logged("allow-list cannot be refreshed, the last good one stays in use")
	})
	login(t, s, second, teltonika.LoginAccept)
}

// Without its list a strict server does not listen for devices, says why, and needs no restart.
func TestStrictServerWaitsForItsAllowList(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r.Do("SADD", "devices:allowlist", first)
	r.Kill()
	s := launchServer(t, redisAllowList(t, r, "true"))
	testkit.Eventually(t, "the failure is logged", func() bool {
		return s.logged("allow-list cannot be read, no device is known yet")
	})
	if status, _ := s.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz %d", status)
	}
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, "redis set devices:allowlist") {
		t.Errorf("/readyz %d %s", status, body)
	}
	select {
	case <-s.listening:
		t.Fatal("listens for devices without knowing them")
	default:
	}
	r.Restart()
	s.awaitListening()
	login(t, s, second, teltonika.LoginRefuse)
	login(t, s, first, teltonika.LoginAccept)
	testkit.EventuallyIn(t, "ready", readySoon, func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})
}

func TestStopWhileWaitingForTheAllowList(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Kill()
	s := launchServer(t, redisAllowList(t, r, "true"))
	testkit.Eventually(t, "the failure is logged", func() bool {
		return s.logged("allow-list cannot be read, no device is known yet")
	})
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Without strictness nobody is refused for want of a list.
func TestServerWithoutItsAllowList(t *testing.T) {
	settings, path := fileAllowList(t, "false", "")
	settings["DEVICE_ALLOW_LIST_REFRESH"] = "100ms"
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, settings)
	sends(login(t, s, first, teltonika.LoginAccept), 1)
	if n := s.metric(`teltonika_handshake_total{known="unknown",result="accepted",transport="tcp"}`); n != 1 {
		t.Errorf("%v unknown devices", n)
	}
	if err := os.WriteFile(path, []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the list is read", func() bool { return s.metric("teltonika_allow_list_devices") == 1 })
	login(t, s, first, teltonika.LoginAccept)
	if n := s.metric(`teltonika_handshake_total{known="known",result="accepted",transport="tcp"}`); n != 1 {
		t.Errorf("%v known devices", n)
	}
}

func TestAllowListsThatWouldRefuseTheFleet(t *testing.T) {
	r := testkit.StartRedis(t)
	emptySet := redisAllowList(t, r, "true")
	emptyFile, path := fileAllowList(t, "true", "# nobody\n")
	noFile, missing := fileAllowList(t, "true", "")
	if err := os.Remove(missing); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		settings map[string]string
		says     string
	}{
		{"empty set", emptySet, "redis set devices:allowlist"},
		{"empty file", emptyFile, path},
		{"no file", noFile, missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.settings["TELTONIKA_PORT"], c.settings["METRICS_PORT"], c.settings["ADMIN_ADDRESS"] = "0", "0", ""
			for _, verb := range []string{"serve", "check"} {
				code, out, errOut := execute(t, c.settings, "", verb)
				if code != exitSettings {
					t.Errorf("%s: exit code %d\n%s%s", verb, code, out, errOut)
				}
				for _, text := range []string{"DEVICE_ALLOW_LIST", "STRICT_DEVICE_AUTH=false", c.says} {
					if !strings.Contains(errOut, text) {
						t.Errorf("%s does not say %s:\n%s", verb, text, errOut)
					}
				}
				if strings.Contains(errOut, `"for":"devices"`) {
					t.Errorf("%s listened for devices:\n%s", verb, errOut)
				}
			}
		})
	}
}

func TestCheckReadsTheAllowList(t *testing.T) {
	settings, path := fileAllowList(t, "true", first+"\n"+second+"\n")
	code, out, errOut := execute(t, settings, "", "check")
	if code != exitOK || !strings.Contains(out, "2 known, file "+path) {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	r := testkit.StartRedis(t)
	r.Kill()
	if code, out, errOut = execute(t, redisAllowList(t, r, "false"), "", "check"); code != exitFailure ||
		!strings.Contains(errOut, "refused") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}
