package main

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// exported is what a server shows on /metrics: each series' name, and the names of its labels.
func exported(body string) map[string][]string {
	all := make(map[string][]string)
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		labels := []string{}
		for _, m := range label.FindAllStringSubmatch(line[:strings.LastIndexByte(line, ' ')], -1) {
			labels = append(labels, m[1])
		}
		all[name] = labels
	}
	return all
}

// everyMetric runs a server through whatever makes a metric appear.
func everyMetric(t *testing.T) map[string][]string {
	t.Helper()
	redis := testkit.StartRedis(t, "--appendonly", "yes", "--maxmemory", "200mb")
	redis.Do("XGROUP", "CREATE", "telemetry:teltonika", "maps", "$", "MKSTREAM")
	list := filepath.Join(t.TempDir(), "devices")
	if err := os.WriteFile(list, []byte("356307042441013\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ca := newCertificateAuthority(t)
	ca.renew(30)
	s := startServer(t, map[string]string{
		"REDIS_URL": redis.URL(), "DEVICE_AUTHORITY_MODE": "file_allow_list", "DEVICE_ALLOW_LIST": list, "UDP_PORT": "0",
		"TLS_DETECT": "true", "TLS_CERT_FILE": ca.path("server.crt"), "TLS_KEY_FILE": ca.path("server.key"),
		"PROXY_PROTOCOL_FROM": "192.0.2.1", // a balancer that never comes
	})
	leave, err := tls.Dial("tcp", s.devices, ca.trusting())
	if err != nil {
		t.Fatal(err)
	}
	leave.Close()

	d := testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161086000, Priority: 1})
	d.ExpectACK(1)
	d.Close()

	d = testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.Send(teltonika.AppendFrame(nil, []byte{0x99, 1, 0, 1}))
	d.ExpectClosed()

	redis.Do("CONFIG", "SET", "maxmemory", "1mb") // is reached at once, so there is a forecast
	var all map[string][]string
	eventually(t, "the engine's figures are shown", patience, func() bool {
		_, body := s.get("/metrics")
		all = exported(body)
		return all["telemetry_memory_exhausted_in_seconds"] != nil && all["telemetry_engine_info"] != nil &&
			all["teltonika_tls_unused_total"] != nil
	})
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	ours      = regexp.MustCompile(`^(teltonika|telemetry|tcp_ingestion)_`)
	metric    = regexp.MustCompile(`\b(?:teltonika|telemetry|tcp_ingestion|process|go)_[a-z0-9_]+`)
	selector  = regexp.MustCompile(`\b((?:teltonika|telemetry|tcp_ingestion|process|go)_[a-z0-9_]+)\{([^}]*)\}`)
	labelName = regexp.MustCompile(`(\w+)\s*(?:!?=|,|$)`)
	histogram = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// TestMetricsAreDocumented: what the page, the alert rules and the dashboard name is really there, with these
// labels, and whatever is there of ours is on the page.
func TestMetricsAreDocumented(t *testing.T) {
	there := everyMetric(t)
	known := func(name string) bool {
		return there[name] != nil || there[name+"_count"] != nil || slices.Contains(there["tcp_ingestion_build_info"], name)
	}
	page := read(t, "../../OPERATIONS.md")
	for path, text := range map[string]string{
		"OPERATIONS.md": page, "alerts.yml": read(t, "../../deploy/prometheus/alerts.yml"),
		"tcp-ingestion.json": strings.ReplaceAll(read(t, "../../deploy/grafana/tcp-ingestion.json"), `\"`, `"`),
	} {
		for _, name := range metric.FindAllString(text, -1) {
			if !known(name) {
				t.Errorf("%s names %s, which is not exported", path, name)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(text, -1) {
			labels := there[m[1]]
			if labels == nil {
				labels = there[m[1]+"_count"] // a histogram
			}
			for _, l := range labelName.FindAllStringSubmatch(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m[2], ""), -1) {
				if !slices.Contains(append(labels, "job", "instance"), l[1]) {
					t.Errorf("%s: %s has no label %s, only %v", path, m[1], l[1], labels)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if base := histogram.ReplaceAllString(name, ""); ours.MatchString(name) && !strings.Contains(page, "| `"+base) {
			t.Errorf("%s is exported and not in OPERATIONS.md", base)
		}
	}
}

// TestDocumentedRightsAreEnough: a Redis user with just the rights that the page lists can do everything, and Redis
// notes no refusal.
func TestDocumentedRightsAreEnough(t *testing.T) {
	_, block, _ := strings.Cut(read(t, "../../OPERATIONS.md"), "\nACL SETUSER ingestion ")
	block, _, _ = strings.Cut(block, "```")
	rights := strings.Fields(strings.ReplaceAll(block, ">PASSWORD", ">secret"))
	redis := testkit.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	setUser := func() error {
		args := []any{"ACL", "SETUSER", "ingestion"}
		for _, r := range rights {
			args = append(args, r)
		}
		_, err := redis.TryDo(args...)
		return err
	}
	if err := setUser(); err != nil { // before Redis 7.2
		rights = slices.DeleteFunc(rights, func(r string) bool { return r == "+waitaof" })
		if err := setUser(); err != nil {
			t.Fatal(err)
		}
	}
	redis.Do("XGROUP", "CREATE", "telemetry:teltonika", "maps", "$", "MKSTREAM")
	redis.Do("SADD", "devices:allowlist", "356307042441013")
	settings := map[string]string{
		"REDIS_URL":             strings.Replace(redis.URL(), "://", "://ingestion:secret@", 1),
		"DEVICE_AUTHORITY_MODE": "redis_allow_list", "STRICT_DEVICE_AUTH": "true", "REDIS_DURABILITY": "fsync",
		"REDIS_STREAM_MAXLEN": "1",
	}
	if code, out, errOut := execute(t, settings, "", "check"); code != 0 {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	s := startServer(t, settings)
	d := testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161086000}, teltonika.Record{Timestamp: 1560161087000})
	d.ExpectACK(2)
	redis.Do("CLIENT", "KILL", "USER", "ingestion") // what was sent and not answered is looked for
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161088000})
	d.ExpectACK(1)
	d.Send(teltonika.AppendFrame(nil, []byte{byte(teltonika.Codec8), 1, 0, 2}))
	d.ExpectACK(1)
	eventually(t, "the engine's figures are shown", patience, func() bool {
		return s.metric("telemetry_unread_beyond_limit_records") == 2
	})
	if code, out, errOut := execute(t, settings, "", "deadletters", "delete", "--all", "--yes"); code != 0 {
		t.Errorf("deadletters: exit code %d\n%s%s", code, out, errOut)
	}
	if refused := redis.Do("ACL", "LOG").([]any); len(refused) > 0 {
		t.Errorf("redis has refused: %v", refused)
	}
}
