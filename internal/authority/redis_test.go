package authority

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const key = "devices:allowlist"

// redisList is the list in the server's set.
func redisList(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := NewRedis(url, key, "authority-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// addDevices adds the fleet's devices from one number to below another.
func addDevices(r *testkit.Redis, set string, from, to int) {
	for from < to {
		args := []any{"SADD", set}
		for ; from < to && len(args) < 50_000; from++ {
			args = append(args, imei(from))
		}
		r.Do(args...)
	}
}

func mustRead(t testing.TB, r *Redis) *set {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := r.Read(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The set is read whole and in pages: SMEMBERS would stop Redis for as long as it takes.
func TestRedisIsReadInPages(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	source := redisList(t, server.URL())
	for _, size := range []int{0, 1, 100, 600, 100_000} { // of every encoding
		addDevices(server, key, 0, size)
		s := mustRead(t, source)
		if s.size() != size {
			t.Fatalf("%d devices of %d", s.size(), size)
		}
		for i := range size {
			if !s.has(imei(i)) {
				t.Fatalf("device %d of %d is missing", i, size)
			}
		}
	}
	calls := server.Do("INFO", "commandstats").(string)
	if strings.Contains(calls, "smembers") || !strings.Contains(calls, "cmdstat_sscan") {
		t.Errorf("commands:\n%s", calls)
	}
	for line := range strings.Lines(calls) {
		var n, took int
		var each float64
		if _, err := fmt.Sscanf(line, "cmdstat_sscan:calls=%d,usec=%d,usec_per_call=%f", &n, &took, &each); err == nil {
			t.Logf("%d pages, %.0f µs each", n, each)
			if n < 100_000/2000 {
				t.Errorf("%d pages", n)
			}
		}
	}
}

func TestRedisMembersThatAreNoIdentifiers(t *testing.T) {
	server := testkit.StartRedis(t)
	server.Do("SADD", key, imei(1), "35 63", "Tracker7", strings.Repeat("x", 100), "\x00\n")
	s := mustRead(t, redisList(t, server.URL()))
	slices.Sort(s.skipped.first)
	want := []string{`"35 63"`, `"\x00\n"`, `"` + strings.Repeat("x", 64) + `"`}
	slices.Sort(want)
	if s.size() != 2 || s.skipped.count != 3 || !slices.Equal(s.skipped.first, want) {
		t.Errorf("%d devices, skipped %+v", s.size(), s.skipped)
	}
}

// A set that changes all the time is taken some time; every device that was there throughout is known.
func TestRedisWhileTheSetChanges(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	const size = 20_000
	addDevices(server, key, 0, size)
	source := redisList(t, server.URL())
	const changes = size / 200 // fewer than one in a hundred, however long a reading takes
	for round := range 5 {
		changed := make(chan struct{})
		go func() {
			defer close(changed)
			for i := range changes {
				_, _ = server.TryDo("SADD", key, imei(size+round*changes+i))
			}
		}()
		s := mustRead(t, source)
		<-changed
		for i := range size {
			if !s.has(imei(i)) {
				t.Fatalf("device %d is missing", i)
			}
		}
	}
}

// swap exchanges the set with the one of another key at once.
const swap = `redis.call('RENAME', KEYS[1], 'between')
	redis.call('RENAME', KEYS[2], KEYS[1])
	redis.call('RENAME', 'between', KEYS[2])`

// A set that is replaced while it is read comes out as the old or the new one, never as some of both.
func TestRedisWhileTheSetIsReplaced(t *testing.T) {
	t.Parallel()
	const size = 20_000
	server := testkit.StartRedis(t)
	addDevices(server, key, 0, size)
	addDevices(server, "next", size, 3*size)
	source := redisList(t, server.URL())
	for range 6 {
		swapped := make(chan struct{})
		go func() {
			defer close(swapped)
			_, _ = server.TryDo("EVAL", swap, 2, key, "next")
		}()
		s := mustRead(t, source)
		<-swapped
		old, next := count(s, 0, size), count(s, size, 3*size)
		if !(old == size && next == 0) && !(old == 0 && next == 2*size) {
			t.Errorf("%d devices of the one set and %d of the other", old, next)
		}
	}
}

func count(s *set, from, to int) (n int) {
	for ; from < to; from++ {
		if s.has(imei(from)) {
			n++
		}
	}
	return n
}

func TestRedisFailures(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t)
	source := redisList(t, server.URL())
	wantFailure := func(source *Redis, text string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := source.Read(ctx, false)
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v, want %s", err, text)
		}
	}
	server.Do("SET", key, "x")
	wantFailure(source, "WRONGTYPE")
	server.Do("DEL", key)
	wantFailure(redisList(t, "redis://nobody:hunter2@"+server.Addr()), "WRONGPASS")
	server.Freeze()
	wantFailure(source, "timeout")
	server.Thaw()
	addDevices(server, key, 0, 1)
	if s := mustRead(t, source); s.size() != 1 {
		t.Errorf("%d devices", s.size())
	}
	server.Kill()
	wantFailure(source, "refused")
	server.Restart()
	// The library waits up to a second before it dials again.
	testkit.Succeeds(t, "recovered", testkit.Timeout, func() error {
		_, err := source.Read(context.Background(), false)
		return err
	})
}

// Two commands on one key are all the rights that are needed.
func TestRedisWithFewRights(t *testing.T) {
	server := testkit.StartRedis(t)
	addDevices(server, key, 0, 1000)
	server.Do("ACL", "SETUSER", "gate", "on", ">hunter2", "%R~"+key, "+scard", "+sscan")
	if s := mustRead(t, redisList(t, "redis://gate:hunter2@"+server.Addr())); s.size() != 1000 {
		t.Errorf("%d devices", s.size())
	}
}

func TestRedisTLS(t *testing.T) {
	port := testkit.FreePort(t)
	server := testkit.StartRedis(t, "--tls-port", fmt.Sprint(port), "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-ca-cert-file", certFile, "--tls-auth-clients", "no")
	addDevices(server, key, 0, 5000)
	if s := mustRead(t, redisList(t, fmt.Sprintf("rediss://127.0.0.1:%d", port))); s.size() != 5000 {
		t.Errorf("%d devices", s.size())
	}
}

func TestRedisURLs(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://u:hunter2@h", "redis://u:hunter2%zz@h",
		"redis://u:hunter2@h/zero", "unix://u:hunter2@/s"} {
		if _, err := NewRedis(url, key, "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

// BenchmarkRedisMillion reads a set of a million devices.
func BenchmarkRedisMillion(b *testing.B) {
	server := testkit.StartRedis(b)
	addDevices(server, key, 0, million)
	source := redisList(b, server.URL())
	b.ReportAllocs()
	for b.Loop() {
		if s := mustRead(b, source); s.size() != million {
			b.Fatalf("%d devices", s.size())
		}
	}
}
