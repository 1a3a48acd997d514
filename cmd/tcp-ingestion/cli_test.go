package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestExitCodes(t *testing.T) {
	unreachable := map[string]string{"REDIS_URL": "redis://127.0.0.1:1"}
	wrong := map[string]string{"TELTONIKA_PORT": "x", "PUBLISH_TIMEOUT": "20", "REDIS_URL": "redis://u:hunter2@h:port"}
	for _, c := range []struct {
		name     string
		args     []string
		settings map[string]string
		code     int
		says     []string // on standard output or error
	}{
		{"no command", nil, nil, 2, []string{"serve", "simulate"}},
		{"unknown command", []string{"server"}, nil, 2, []string{`unknown command "server"`}},
		{"misspelt command", []string{"sevre"}, nil, 2, []string{"did you mean serve?"}},
		{"a command like no other", []string{"xylophone"}, nil, 2, []string{`"xylophone"; see`}},
		{"misspelt subcommand", []string{"deadletters", "lits"}, nil, 2, []string{"did you mean list?"}},
		{"misspelt flag", []string{"tail", "--cuont", "1"}, nil, 2, []string{"did you mean --count?"}},
		{"misspelt setting", []string{"check", "--redis-ulr=x"}, nil, 2, []string{"did you mean --redis-url?"}},
		{"misspelt variable", []string{"check"}, map[string]string{"DATA_DIR": t.TempDir(), "TELTONIKA_PROT": "1",
			"SSL_CERT_FILE": "x"}, 0, []string{"TELTONIKA_PROT is no setting, did you mean TELTONIKA_PORT?"}},
		{"groups of commands", []string{"--help"}, nil, 0, []string{"Devices:", "What is stored:", "The service:"}},
		{"groups of settings", []string{"serve", "--help"}, nil, 0, []string{"Ways in", "Kafka", "Devices and limits"}},
		{"unknown flag", []string{"serve", "--prot=1"}, nil, 2, []string{"prot", "--help"}},
		{"stray argument", []string{"serve", "redis-url=redis://127.0.0.1:1"}, nil, 2,
			[]string{"unexpected argument", "serve --help"}},
		{"stray argument of check", []string{"check", "now"}, nil, 2, []string{"unexpected argument"}},
		{"negative count", []string{"tail", "--count", "-1"}, nil, 2, []string{"--count"}},
		{"version flag", []string{"--version"}, nil, 0, []string{"tcp-ingestion"}},
		{"help", []string{"serve", "--help"}, nil, 0, []string{"--redis-url", "REDIS_URL", "SHUTDOWN_TIMEOUT_MS",
			"[$SIGNALS] (default: true)"}},
		{"version", []string{"version"}, nil, 0, []string{"tcp-ingestion", "commit", "go1."}},
		{"serve with wrong settings", []string{"serve"}, wrong, 78,
			[]string{"TELTONIKA_PORT", "PUBLISH_TIMEOUT", "REDIS_URL"}},
		{"check with wrong settings", []string{"check"}, wrong, 78,
			[]string{"TELTONIKA_PORT", "PUBLISH_TIMEOUT", "REDIS_URL"}},
		{"a flag wins", []string{"check", "--teltonika-port=0", "--publish-timeout=20s", "--redis-url=redis://127.0.0.1:1"},
			wrong, 1, []string{"redis"}},
		{"a wrong flag", []string{"check", "--max-frame-bytes=5"}, nil, 78, []string{"MAX_FRAME_BYTES"}},
		{"check without the engine", []string{"check"}, unreachable, 1, []string{"refused"}},
		{"check of the embedded engine", []string{"check"}, map[string]string{"DATA_DIR": t.TempDir()}, 0,
			[]string{"sqlite", "fsynced"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := execute(t, c.settings, "", c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errOut)
			}
			for _, text := range c.says {
				if !strings.Contains(out+errOut, text) {
					t.Errorf("does not say %q:\n%s%s", text, out, errOut)
				}
			}
			if strings.Contains(out+errOut, "hunter2") {
				t.Errorf("shows a password:\n%s%s", out, errOut)
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	_, out, _ := execute(t, nil, "", "serve", "--help")
	for _, s := range config.Settings {
		if !strings.Contains(out, "--"+s.Flag()) || !strings.Contains(out, "$"+s.Name) {
			t.Errorf("%s is not in the help", s.Name)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir()})
	_, used, _ := strings.Cut(s.devices, ":")
	code, _, errOut := execute(t, map[string]string{"DATA_DIR": t.TempDir(), "TELTONIKA_PORT": used, "METRICS_PORT": "0",
		"ADMIN_ADDRESS": ""}, "", "serve")
	if code != 1 || !strings.Contains(errOut, "TELTONIKA_PORT") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestTail(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore, oneNATS, postgresStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			s := startServer(t, store.settings)
			f := startFleet(t, s.devices, 5, nil)
			f.awaitProgress(t, 50)
			f.end(t)
			code, out, errOut := execute(t, store.settings, "", "tail", "--from-start", "--count", "50")
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if code != 0 || len(lines) != 50 {
				t.Fatalf("exit code %d, %d lines: %s", code, len(lines), errOut)
			}
			stored := store.payloads(t)
			for i, line := range lines {
				// PostgreSQL keeps what a document means. It is shown in the order in which records are published.
				same := line == stored[i] || store.name == "postgres" && strings.HasPrefix(line, `{"device_id":"`) &&
					holds(t, line, stored[i]) && holds(t, stored[i], line)
				if !same {
					t.Fatalf("line %d:\n got %s\nwant %s", i, line, stored[i])
				}
			}
		})
	}
}

func TestDemo(t *testing.T) {
	code, out, errOut := execute(t, nil, "", "demo", "--duration", "3s", "--rate", "50")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	for _, text := range []string{"devices connect to", "km/h", "acknowledged", "stored",
		"see it all at       http://127.0.0.1:"} {
		if !strings.Contains(out, text) {
			t.Errorf("does not say %q:\n%s", text, out)
		}
	}
}

// TestOperations asks what an operator's tools ask.
func TestOperations(t *testing.T) {
	store := redisStore(t)
	r := store.redis
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 10, nil)
	f.awaitProgress(t, 200)
	f.end(t)
	r.Do("XGROUP", "CREATE", "telemetry:teltonika", "readers", "0")
	total := float64(len(f.acknowledged()))
	testkit.EventuallyIn(t, "the group's lag is shown", 15*time.Second, func() bool {
		return s.metric("telemetry_consumer_lag") == total
	})
	if n := s.metric("telemetry_stream_length"); n != total {
		t.Errorf("stream length %v, want %v", n, total)
	}
	for name, want := range map[string]float64{
		"teltonika_records_published_total": total, "teltonika_records_received_total": total,
		"teltonika_publish_queue_depth": 0, "teltonika_publish_queue_capacity": 10000, "telemetry_engine_ready": 1,
		"tcp_ingestion_build_info": 1, "teltonika_connections_active": 0, "teltonika_publish_overflow_total": 0,
		"teltonika_priority_out_of_range_total": 0, "teltonika_records_duplicate_total": 0,
	} {
		testkit.Eventually(t, name, func() bool { return s.metric(name) == want })
	}
	_, body := s.get("/metrics")
	for _, name := range []string{
		"teltonika_connections_closed_total", "teltonika_handshake_total", "teltonika_frames_total",
		"teltonika_publish_duration_seconds_bucket", "teltonika_ack_latency_seconds_bucket", "go_goroutines",
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is not in /metrics", name)
		}
	}
	for _, imei := range f.acknowledged()[:1] {
		if strings.Contains(body, imei[:15]) {
			t.Error("an IMEI is in /metrics")
		}
	}

	r.Kill()
	testkit.EventuallyIn(t, "not ready", readySoon, func() bool {
		status, body := s.get("/readyz")
		var answer struct {
			Ready   bool
			Reasons []string
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return status == 503 && !answer.Ready && len(answer.Reasons) > 0
	})
	if status, _ := s.get("/healthz"); status != 200 {
		t.Errorf("/healthz %d", status)
	}
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
