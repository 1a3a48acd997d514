package redisstream

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// bounded is what keeps Redis from growing until the kernel ends it.
var bounded = []string{"--maxmemory", "1gb", "--maxmemory-policy", "noeviction"}

func TestInspectClasses(t *testing.T) {
	cases := []struct {
		name    string
		args    []string
		class   engine.Class
		warning string // "" = none at all
	}{
		{"memory", nil, engine.MemoryOnly, "set appendonly yes"},
		{"everysec", append([]string{"--appendonly", "yes", "--appendfsync", "everysec"}, bounded...), engine.OneSecond, ""},
		{"always", append(slices.Clone(durable), bounded...), engine.Fsynced, ""},
		{"no memory limit", durable, engine.Fsynced, "maxmemory is not set"},
		{
			"kernel",
			[]string{"--appendonly", "yes", "--appendfsync", "no"},
			engine.MemoryOnly,
			"set appendfsync everysec or always",
		},
		{
			"eviction",
			append([]string{"--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"}, durable...),
			engine.Fsynced,
			"set maxmemory-policy noeviction",
		},
		{
			"no eviction",
			append([]string{"--maxmemory", "1gb", "--maxmemory-policy", "noeviction"}, durable...),
			engine.Fsynced,
			"",
		},
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
			for _, name := range []string{"appendonly", "appendfsync", "maxmemory-policy", "connected_slaves",
				"aof_last_write_status", "rdb_last_bgsave_status"} {
				if !slices.ContainsFunc(d.Facts, func(f engine.Fact) bool { return f.Name == name && f.Value != "" }) {
					t.Errorf("%s is not among the facts %v", name, d.Facts)
				}
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
			info: map[string]string{
				"redis_version":          "7.0.15",
				"role":                   "master",
				"aof_last_write_status":  "ok",
				"rdb_last_bgsave_status": "ok",
			},
			settings: map[string]string{
				"appendonly":       "yes",
				"appendfsync":      "everysec",
				"maxmemory":        "1073741824",
				"maxmemory-policy": "noeviction",
				"io-threads":       "1",
			},
			cores: 2,
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
		"may evict the whole":     func(f *findings) { f.settings["maxmemory-policy"] = "allkeys-lru" },
		"maxmemory is not set":    func(f *findings) { f.settings["maxmemory"] = "0" },
		"does not store now: OOM": func(f *findings) { f.refusal = "OOM command not allowed" },
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

// A Redis that answers and refuses is explained as well as one that works: here one whose disk is
// gone, so that its snapshot fails.
func TestInspectOfRefusal(t *testing.T) {
	r := testkit.StartRedis(t, "--save", "3600 1")
	e := use(t, r, Options{})
	mustStore(t, e, 0, 1)
	if err := os.RemoveAll(r.Dir()); err != nil {
		t.Fatal(err)
	}
	r.Do("BGSAVE")
	testkit.Succeeds(t, "a failed snapshot", patience, func() error {
		if parseInfo(r.Do("INFO", "persistence").(string))["rdb_last_bgsave_status"] != "err" {
			return errNotYet
		}
		return nil
	})
	_, err := e.Probe(limited(t))
	wantFate(t, err, true, false, "MISCONF")
	d, err := e.Inspect(limited(t))
	if err != nil || d.Class != engine.MemoryOnly {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, text := range []string{"does not store now: redis: MISCONF", "the last snapshot failed"} {
		if all := strings.Join(d.Warnings, "\n"); !strings.Contains(all, text) {
			t.Errorf("not warned of %q:\n%s", text, all)
		}
	}
}

// What somebody changes at run time shows at the next look, also when the configured durability can
// no longer be had.
func TestInspectFollowsChanges(t *testing.T) {
	r := testkit.StartRedis(t, durable...)
	reply := use(t, r, Options{})
	fsync := use(t, r, Options{Durability: Durability{Fsync: true}})
	if d, err := fsync.Inspect(limited(t)); err != nil || d.Class != engine.Fsynced {
		t.Errorf("got %+v, %v", d, err)
	}
	r.Do("CONFIG", "SET", "appendfsync", "everysec")
	if d, err := reply.Inspect(limited(t)); err != nil || d.Class != engine.OneSecond {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err := fsync.Inspect(limited(t))
	if !errors.Is(err, engine.ErrDurability) || d.Class != engine.OneSecond {
		t.Errorf("got %+v, %v", d, err)
	}
	wantFate(t, err, false, false, "set appendfsync always")

	replicas := use(t, r, Options{Durability: Durability{Replicas: 2}})
	d, err = replicas.Inspect(limited(t))
	if !errors.Is(err, engine.ErrDurability) || d.Class != engine.OneSecond {
		t.Errorf("got %+v, %v", d, err)
	}
	wantFate(t, err, true, false, "0 of 2 redis replicas")
}
