package device

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const million = 1_000_000

func modelsFile(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "models")
	write(tb, path, content)
	return path
}

// write replaces the file.
func write(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

func readModelsOf(tb testing.TB, from ModelsSource) *Models {
	tb.Helper()
	m, err := from.Read(context.Background(), false)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// An exact IMEI beats the longest prefix, which beats shorter ones.
func TestModels(t *testing.T) {
	m := readModelsOf(t, NewModelsFile(modelsFile(t, "\xef\xbb\xbf# the fleet\n"+
		"356307042441013 FMB640 # truck 7\r\n35630704*\tfmb\n356307042* FMC130\n\nTracker7 ft\n* tat\n"+
		"356307042441013 FMB640\n")))
	for _, c := range []struct{ imei, model string }{
		{"356307042441013", "FMB640"}, {"356307042441014", "FMC130"}, {"356307049999999", "fmb"},
		{"356307000000000", "tat"}, {"Tracker7", "ft"}, {"Tracker77", "tat"}, {"3563070424410130", "FMC130"}, {"", "tat"},
	} {
		if got := m.Of(c.imei); got != c.model {
			t.Errorf("%s is %q, want %q", c.imei, got, c.model)
		}
	}
	if m.Len() != 5 {
		t.Errorf("%d entries", m.Len())
	}
	if n := testing.AllocsPerRun(100, func() { m.Of("356307042441014") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if none := (&Models{}).Of("356307042441013"); none != "" {
		t.Errorf("of an empty map: %q", none)
	}
}

// A file with a mistake is not used at all, and the error says where the mistake is.
func TestModelsFileThatIsBroken(t *testing.T) {
	const good = "356307042441013 FMB640\n"
	for _, c := range []struct{ content, want string }{
		{good + "356307042441014\n", "line 2: it has 1 fields"},
		{good + "356307042441014 FMB 640\n", "line 2: it has 3 fields"},
		{good + "# \n356307042441014;FMB640 x\n", `line 3: "x" is neither a model that is known nor a family`},
		{good + "35-63* FMB640\n", `line 2: "35-63*" is neither an IMEI nor a prefix`},
		{good + "356*07* FMB640\n", `line 2: "356*07*"`},
		{good + "356307042441013 FMC130\n", "line 2: 356307042441013 has two models, FMB640 in line 1 and FMC130 here"},
		{"3563* FMB640\n3563* fmb\n", `line 2: "3563" has two models, FMB640 and fmb`},
		{good + strings.Repeat("x", 200) + " FMB640\n", "line 2: \"xxx"},
	} {
		_, err := NewModelsFile(modelsFile(t, c.content)).Read(context.Background(), false)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 200 {
			t.Errorf("%q: error %v, want %s", c.content, err, c.want)
		}
	}
}

func modelsRedisOf(tb testing.TB, server *testkit.Redis) ModelsSource {
	tb.Helper()
	from, err := NewModelsRedis(server.URL(), "device-test")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = from.Close() })
	return from
}

// Others write the hash field by field: a field with a mistake is told of, and the others count.
func TestModelsInRedis(t *testing.T) {
	server := testkit.StartRedis(t)
	from := modelsRedisOf(t, server)
	if m := readModelsOf(t, from); m.Len() != 0 {
		t.Errorf("%d entries without a hash", m.Len())
	}
	server.Do("HSET", ModelsKey, imei(1), "FMB640", "3563*", "fmb", imei(2), "spaceship", "\x00", "fmb")
	m := readModelsOf(t, from)
	if m.Of(imei(1)) != "FMB640" || m.Of(imei(2)) != "fmb" || m.Len() != 2 || m.skipped.count != 2 {
		t.Errorf("%+v", m)
	}
	if !strings.Contains(m.Skipped(), "2 entries are skipped") {
		t.Errorf("says %s", m.Skipped())
	}
	server.Do("SET", ModelsKey, "x")
	if _, err := from.Read(context.Background(), false); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("error %v", err)
	}
}

func TestModelsAreTheSame(t *testing.T) {
	read := func(content string) *Models { return readModelsOf(t, NewModelsFile(modelsFile(t, content))) }
	const base = "356307042441013 FMB640\n356307042441014 fmb\n3563* FMC130\nx fmb\n"
	for _, c := range []struct {
		content string
		same    bool
	}{
		{"x fmb\n3563* FMC130\n356307042441014 fmb\n356307042441013 FMB640\n", true},
		{strings.Replace(base, "4 fmb", "4 ft", 1), false},
		{strings.Replace(base, "FMC130", "FMC125", 1), false},
		{strings.Replace(base, "x fmb", "y fmb", 1), false},
		{base + "356307042441015 fmb", false},
	} {
		if read(base).same(read(c.content)) != c.same {
			t.Errorf("%q: same is %v", c.content, !c.same)
		}
	}
}

func millionLines() string {
	var b strings.Builder
	for i := range million {
		fmt.Fprintln(&b, imei(i), [...]string{"FMB640", "FMC130", "fmb"}[i%3])
	}
	return b.String()
}

// TestMillionModelsAreSmall says what a map of a million costs for as long as it is in use.
func TestMillionModelsAreSmall(t *testing.T) {
	path := modelsFile(t, millionLines())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := readModelsOf(t, NewModelsFile(path))
	runtime.GC()
	runtime.ReadMemStats(&after)
	mb := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / 1e6
	t.Logf("%d entries: %.1f MB", m.Len(), mb)
	if m.Len() != million || m.Of(imei(7)) != "FMC130" || mb > 12 {
		t.Errorf("%d entries, %s, %.1f MB", m.Len(), m.Of(imei(7)), mb)
	}
	runtime.KeepAlive(m)
}

// BenchmarkModelsMillion reads a file of a million devices.
func BenchmarkModelsMillion(b *testing.B) {
	path := modelsFile(b, millionLines())
	b.ReportAllocs()
	for b.Loop() {
		if m := readModelsOf(b, NewModelsFile(path)); m.Len() != million {
			b.Fatal(m.Len())
		}
	}
}

// BenchmarkModelsOf looks devices up among a million.
func BenchmarkModelsOf(b *testing.B) {
	m := readModelsOf(b, NewModelsFile(modelsFile(b, millionLines())))
	ids := make([]string, 1<<12)
	for i := range ids {
		ids[i] = imei(i * 400)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Of(ids[i%len(ids)])
	}
}

// BenchmarkModelsRedisMillion reads a hash of a million devices.
func BenchmarkModelsRedisMillion(b *testing.B) {
	server := testkit.StartRedis(b)
	for i := 0; i < million; {
		args := []any{"HSET", ModelsKey}
		for ; i < million && len(args) < 50_000; i++ {
			args = append(args, imei(i), "FMB640")
		}
		server.Do(args...)
	}
	from := modelsRedisOf(b, server)
	b.ReportAllocs()
	for b.Loop() {
		if m := readModelsOf(b, from); m.Len() != million {
			b.Fatal(m.Len())
		}
	}
}
