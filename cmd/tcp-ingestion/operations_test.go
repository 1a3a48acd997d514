package main

import (
	"crypto/tls"
	"flag"
	"fmt"
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

// exportedMetric is one that a server shows on /metrics.
type exportedMetric struct {
	kind, help string
	labels     []string
}

// oldName is the help of a metric that is there for those who know it by its old name.
var oldName = regexp.MustCompile(`^Old name of (\w+)`)

// successor is the name that an old one stands beside, empty if there is none.
func (m *exportedMetric) successor() string {
	if found := oldName.FindStringSubmatch(m.help); found != nil {
		return found[1]
	}
	return ""
}

// exported are the metrics of an answer of /metrics, by name.
func exported(body string) map[string]*exportedMetric {
	all := make(map[string]*exportedMetric)
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), " ")
		switch {
		case strings.HasPrefix(line, "# HELP "):
			all[name] = &exportedMetric{help: rest}
		case strings.HasPrefix(line, "# TYPE "):
			all[name].kind = rest
		default:
			name := line[:strings.IndexAny(line, "{ ")]
			m := all[name]
			if m == nil {
				m = all[histogram.ReplaceAllString(name, "")]
			}
			for _, l := range label.FindAllStringSubmatch(line[:strings.LastIndexByte(line, ' ')], -1) {
				if l[1] != "le" && !slices.Contains(m.labels, l[1]) {
					m.labels = append(m.labels, l[1])
				}
			}
		}
	}
	return all
}

// everything is a server on a Redis that has been through whatever makes a metric appear, but a full memory, and a
// forward beside it.
func everything(t *testing.T) (s, f *server, redis *testkit.Redis) {
	t.Helper()
	redis = testkit.StartRedis(t, "--appendonly", "yes", "--maxmemory", "200mb")
	redis.Do("XGROUP", "CREATE", "telemetry:teltonika", "maps", "$", "MKSTREAM")
	list := filepath.Join(t.TempDir(), "devices")
	if err := os.WriteFile(list, []byte("356307042441013\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ca := newCertificateAuthority(t)
	ca.renew(30)
	s = startServer(t, map[string]string{
		"REDIS_URL": redis.URL(), "DEVICE_AUTHORITY_MODE": "file_allow_list", "DEVICE_ALLOW_LIST": list, "UDP_PORT": "0",
		"TLS_DETECT": "true", "TLS_CERT_FILE": ca.path("server.crt"), "TLS_KEY_FILE": ca.path("server.key"),
		"PROXY_PROTOCOL_FROM": "192.0.2.1",                            // a balancer that never comes
		"MIRROR":              "127.0.0.1:1", "DATA_DIR": t.TempDir(), // an old platform that never answers
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
	broken := teltonika.AppendFrame(nil, []byte{byte(teltonika.Codec8), 0, 0})
	broken[len(broken)-1] ^= 1
	d.Send(broken)
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161087000, Priority: 1})
	d.ExpectACK(1)
	d.Close()

	d = testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	d.Send(teltonika.AppendFrame(nil, []byte{0x99, 1, 0, 1}))
	d.ExpectClosed()

	f = startForward(t, map[string]string{
		"REDIS_URL": redis.URL(), "FORWARD_TO": "file:" + t.TempDir(), "DATA_DIR": t.TempDir(),
	})
	return s, f, redis
}

// everyMetric is what a server and a forward export.
func everyMetric(t *testing.T) map[string]*exportedMetric {
	t.Helper()
	s, f, redis := everything(t)
	redis.Do("CONFIG", "SET", "maxmemory", "1mb") // is reached at once, so there is a forecast
	var all map[string]*exportedMetric
	testkit.Eventually(t, "the engine's figures are shown", func() bool {
		_, body := s.get("/metrics")
		all = exported(body)
		return all["telemetry_memory_exhausted_in_seconds"] != nil && all["telemetry_engine_info"] != nil &&
			all["teltonika_tls_unused_total"] != nil
	})
	_, body := f.get("/metrics")
	maps.Copy(all, exported(body))
	return all
}

var update = flag.Bool("update", false, "write the metrics' tables anew")

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	ours      = regexp.MustCompile(`^(teltonika|telemetry|tcp_ingestion|forward)_`)
	metric    = regexp.MustCompile(`\b(?:teltonika|telemetry|tcp_ingestion|forward|process|go)_[a-z0-9_]+`)
	selector  = regexp.MustCompile(`\b((?:teltonika|telemetry|tcp_ingestion|forward|process|go)_[a-z0-9_]+)\{([^}]*)\}`)
	labelName = regexp.MustCompile(`(\w+)\s*(?:!?=|,|$)`)
	histogram = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// metricGroups are the headings that metrics stand under: the first whose pattern matches.
var metricGroups = []struct{ heading, pattern string }{
	{"Fleet", `^teltonika_(connections|handshake|udp_devices|allow_list)_`},
	{"Devices", `^teltonika_(devices|device_store|getver|dictionary)_`},
	{"Flow", `^teltonika_(frames|records|messages|unknown|priority|udp)_`},
	{"Commands", `^teltonika_(command|commands|device_messages)_`},
	{"TLS and balancers", `^teltonika_(tls|proxy)_`},
	{"Latency and queue", `^teltonika_(ack|publish)_`},
	{"Engine", `^telemetry_`},
	{mirrorMetrics, `^teltonika_mirror_`},
	{forwardMetrics, `^forward_`},
	{"Program", `^(tcp_ingestion|teltonika_taps?)_`},
}

// These stand in the reference only: few have a mirror or a forward, which have pages of their own.
const (
	mirrorMetrics  = "Mirror"
	forwardMetrics = "Forward"
)

// TestDocsMetrics: the pages say of each metric what its help says, and what they, the alert rules and the dashboard
// name is really there, with these labels.
func TestDocsMetrics(t *testing.T) {
	there := everyMetric(t)
	const page = "docs/reference/metrics.md"
	var full, brief strings.Builder
	grouped := make(map[string]bool)
	for _, g := range metricGroups {
		anchor := page + "#" + strings.ReplaceAll(strings.ToLower(g.heading), " ", "-")
		fmt.Fprintf(&full, "## %s\n\n| metric | type | meaning |\n|---|---|---|\n", g.heading)
		inBrief := &brief
		if g.heading == mirrorMetrics || g.heading == forwardMetrics {
			inBrief = new(strings.Builder)
		}
		fmt.Fprintf(inBrief, "| [%s](%s) | |\n|---|---|\n", g.heading, anchor)
		for _, name := range slices.Sorted(maps.Keys(there)) {
			m := there[name]
			if grouped[name] || !regexp.MustCompile(g.pattern).MatchString(name) {
				continue
			}
			grouped[name] = true
			labels := ""
			if len(m.labels) > 0 {
				labels = "{" + strings.Join(m.labels, ",") + "}"
			}
			fmt.Fprintf(&full, "| `%s%s` | %s | %s |\n", name, labels, m.kind, testkit.Markup(page, m.help))
			if m.successor() == "" {
				fmt.Fprintf(inBrief, "| `%s` | %s |\n", name, testkit.Markup("OPERATIONS.md", testkit.Brief(m.help)))
			}
		}
		full.WriteString("\n")
		inBrief.WriteString("\n")
	}
	testkit.Section(t, "../../"+page, "metrics", full.String(), *update)
	testkit.Section(t, "../../OPERATIONS.md", "metrics", brief.String(), *update)
	for name := range there {
		if ours.MatchString(name) && !grouped[name] {
			t.Errorf("%s belongs to no group", name)
		}
	}
	wantMetrics(t, there)
}

// wantMetrics fails for a metric or label that a page, the rules or the dashboard name and nobody exports.
func wantMetrics(t *testing.T, there map[string]*exportedMetric) {
	t.Helper()
	var pages []string // not the changelog, which may name what is gone
	for _, pattern := range []string{
		"../../[ORS]*.md", "../../docs/*.md", "../../docs/reference/*.md", "../../deploy/*.md",
		"../../deploy/prometheus/*.yml", "../../deploy/grafana/*.json",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no pages, %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	pages = slices.DeleteFunc(pages, func(p string) bool { return filepath.Base(p) == "signals.md" }) // other names
	find := func(name string) *exportedMetric {
		if m := there[name]; m != nil {
			return m
		}
		return there[histogram.ReplaceAllString(name, "")]
	}
	for _, path := range pages {
		text := strings.ReplaceAll(read(t, path), `\"`, `"`)
		for _, name := range metric.FindAllString(text, -1) {
			if find(name) == nil && !slices.Contains(there["tcp_ingestion_build_info"].labels, name) {
				t.Errorf("%s names %s, which is not exported", path, name)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(text, -1) {
			exported := find(m[1])
			if exported == nil {
				continue // named above
			}
			for _, l := range labelName.FindAllStringSubmatch(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m[2], ""), -1) {
				if !slices.Contains(append(exported.labels, "job", "instance", "namespace", "pod", "le"), l[1]) {
					t.Errorf("%s: %s has no label %s, only %v", path, m[1], l[1], exported.labels)
				}
			}
		}
	}
}

// TestDocumentedRightsAreEnough: a Redis user with just the rights that the page lists can do everything, and Redis
// notes no refusal.
func TestDocumentedRightsAreEnough(t *testing.T) {
	_, block, _ := strings.Cut(read(t, "../../docs/redis.md"), "\nACL SETUSER ingestion ")
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
	testkit.Eventually(t, "the engine's figures are shown", func() bool {
		return s.metric("telemetry_unread_beyond_limit_records") == 2
	})
	if code, out, errOut := execute(t, settings, "", "deadletters", "delete", "--all", "--yes"); code != 0 {
		t.Errorf("deadletters: exit code %d\n%s%s", code, out, errOut)
	}
	if refused := redis.Do("ACL", "LOG").([]any); len(refused) > 0 {
		t.Errorf("redis has refused: %v", refused)
	}
}
