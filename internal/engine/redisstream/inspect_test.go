package redisstream

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestInspectClasses(t *testing.T) {
	cases := []struct {
		name    string
		args    []string
		class   engine.Class
		warning string // "" = none at all
	}{
		{"memory", nil, engine.MemoryOnly, "set appendonly yes"},
		{"everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, engine.OneSecond, ""},
		{"always", durable, engine.Fsynced, ""},
		{"kernel", []string{"--appendonly", "yes", "--appendfsync", "no"}, engine.MemoryOnly, "set appendfsync everysec or always"},
		{"eviction", append([]string{"--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"}, durable...), engine.Fsynced, "set maxmemory-policy noeviction"},
		{"no eviction", append([]string{"--maxmemory", "1gb", "--maxmemory-policy", "noeviction"}, durable...), engine.Fsynced, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := testkit.StartRedis(t, c.args...)
			d, err := use(t, r, Options{}).Inspect(limited(t))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(d.Engine, "Redis ") && !strings.HasPrefix(d.Engine, "Valkey ") {
				t.Errorf("the engine calls itself %q", d.Engine)
			}
			if d.Class != c.class {
				t.Errorf("class %q, want %q", d.Class, c.class)
			}
			text := strings.Join(d.Warnings, "\n")
			if c.warning == "" && text != "" || !strings.Contains(text, c.warning) {
				t.Errorf("warnings %q, want %q", d.Warnings, c.warning)
			}
		})
	}
}

// What a healthy server does not show is judged from its figures.
func TestInspectWarnings(t *testing.T) {
	good := func() findings {
		return findings{
			info:     map[string]string{"redis_version": "7.0.15", "role": "master", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok"},
			settings: map[string]string{"appendonly": "yes", "appendfsync": "everysec", "maxmemory": "0", "maxmemory-policy": "allkeys-lru", "io-threads": "1"},
			cores:    2,
		}
	}
	if w := good().warnings(); len(w) != 0 {
		t.Errorf("a good Redis is warned of: %q", w)
	}
	for text, change := range map[string]func(*findings){
		"io-threads 2":            func(f *findings) { f.settings["io-threads"] = "2" },
		"append-only file failed": func(f *findings) { f.info["aof_last_write_status"] = "err" },
		"last snapshot failed":    func(f *findings) { f.info["rdb_last_bgsave_status"] = "err" },
		"replica":                 func(f *findings) { f.info["role"] = "slave" },
		"+config|get":             func(f *findings) { f.settings, f.info["aof_enabled"] = nil, "1" },
		"+info":                   func(f *findings) { f.info = nil },
		"may evict the whole":     func(f *findings) { f.settings["maxmemory"] = "1073741824" },
		"keeps no append-only":    func(f *findings) { f.settings["appendonly"] = "no" },
		"leaves writing to disk":  func(f *findings) { f.settings["appendfsync"] = "no" },
	} {
		f := good()
		change(&f)
		if w := f.warnings(); len(w) != 1 || !strings.Contains(w[0], text) {
			t.Errorf("warnings %q, want one with %q", w, text)
		}
	}
	remote := good()
	remote.settings["io-threads"], remote.cores = "4", 0
	if w := remote.warnings(); len(w) != 0 {
		t.Errorf("nobody knows another machine's processors: %q", w)
	}
}

func TestInspectUnreachable(t *testing.T) {
	e := use(t, nil, Options{URL: "redis://127.0.0.1:1"})
	_, err := e.Inspect(limited(t))
	wantFate(t, err, true, false, "refused")
}
