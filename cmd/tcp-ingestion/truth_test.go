package main

import (
	"database/sql"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// sentTwice sends records and a frame that cannot be decoded, lets something happen to what is stored, and sends all of
// it again, as a device does that has not got its answers.
func sentTwice(t *testing.T, s *server, happens func()) {
	t.Helper()
	d := testkit.Dial(t, s.devices)
	d.MustLogin("356307042441013")
	undecodable := teltonika.AppendFrame(nil, []byte{byte(teltonika.Codec8), 1, 0, 2})
	for round := range 2 {
		d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161086000}, teltonika.Record{Timestamp: 1560161087000})
		d.ExpectACK(2)
		d.Send(undecodable)
		d.ExpectACK(1)
		if round == 0 {
			happens()
		}
	}
}

// wantTwoRecords fails unless both records are there, once if once is set, and the dead letter.
func (s store) wantTwoRecords(t *testing.T, once bool, deadLetters int) {
	t.Helper()
	stored := s.stored(t)
	if len(stored) != 2 {
		t.Errorf("stored are %v, want both records that were acknowledged", stored)
	}
	for id, n := range stored {
		if n > 1 && once {
			t.Errorf("%s is stored %d times", id, n)
		}
	}
	if deadLetters < 1 || once && deadLetters > 1 {
		t.Errorf("%d dead letters", deadLetters)
	}
}

// TestResendAfterRedisLostIt: whatever has become of the stream, a record that is sent again is there when it is
// acknowledged again.
func TestResendAfterRedisLostIt(t *testing.T) {
	const records, dead = "telemetry:teltonika", "telemetry:teltonika:dead"
	for name, c := range map[string]struct {
		args    []string
		happens func(t *testing.T, r *testkit.Redis)
		once    bool // nothing is lost
	}{
		"nothing": {happens: func(*testing.T, *testkit.Redis) {}, once: true},
		"restart with everything": {[]string{"--appendonly", "yes", "--appendfsync", "always"},
			func(_ *testing.T, r *testkit.Redis) {
				r.Kill()
				r.Restart()
			}, true},
		"connection lost": {happens: func(_ *testing.T, r *testkit.Redis) {
			r.Do("CLIENT", "KILL", "TYPE", "normal")
		}, once: true},
		"FLUSHALL": {happens: func(_ *testing.T, r *testkit.Redis) { r.Do("FLUSHALL") }},
		"DEL":      {happens: func(_ *testing.T, r *testkit.Redis) { r.Do("DEL", records, dead) }},
		"RENAME": {happens: func(_ *testing.T, r *testkit.Redis) {
			r.Do("RENAME", records, "x")
			r.Do("RENAME", dead, "y")
		}},
		"replaced by another stream": {happens: func(_ *testing.T, r *testkit.Redis) {
			for _, key := range []string{records, dead} {
				r.Do("DEL", key)
				r.Do("XADD", key, "*", "ts", "", "device_id", "x", "codec", "8", "payload", `{"id":"x"}`)
			}
		}},
		"XTRIM": {happens: func(_ *testing.T, r *testkit.Redis) {
			r.Do("XTRIM", records, "MAXLEN", 0)
			r.Do("XTRIM", dead, "MAXLEN", 0)
		}},
		"XDEL": {happens: func(_ *testing.T, r *testkit.Redis) {
			for _, key := range []string{records, dead} {
				oldest := r.Do("XRANGE", key, "-", "+", "COUNT", 1).([]any)[0].([]any)[0]
				r.Do("XDEL", key, oldest)
			}
		}},
		"restart without persistence": {happens: func(_ *testing.T, r *testkit.Redis) {
			r.Kill()
			r.Restart()
		}},
		"restart from an older state": {[]string{"--appendonly", "yes", "--appendfsync", "always"},
			func(t *testing.T, r *testkit.Redis) {
				r.Kill()
				if err := os.RemoveAll(filepath.Join(r.Dir(), "appendonlydir")); err != nil {
					t.Fatal(err)
				}
				older := filepath.Join(r.Dir(), "older")
				if err := os.Rename(older, filepath.Join(r.Dir(), "appendonlydir")); err != nil {
					t.Fatal(err)
				}
				r.Restart()
			}, false},
		"evicted": {happens: func(t *testing.T, r *testkit.Redis) {
			r.Do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
			r.Do("CONFIG", "SET", "maxmemory", 1)
			testkit.Eventually(t, "the eviction", func() bool { return r.Do("DBSIZE") == int64(0) })
			r.Do("CONFIG", "SET", "maxmemory", 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := redisStore(t, c.args...)
			delete(store.settings, "REDIS_STREAM_MAXLEN")
			if name == "restart from an older state" {
				store.redis.Do("XADD", records, "*", "ts", "", "device_id", "x", "codec", "8", "payload", `{"id":"x"}`)
				store.redis.Kill()
				if err := os.CopyFS(filepath.Join(store.redis.Dir(), "older"),
					os.DirFS(filepath.Join(store.redis.Dir(), "appendonlydir"))); err != nil {
					t.Fatal(err)
				}
				store.redis.Restart()
			}
			s := startServer(t, store.settings)
			sentTwice(t, s, func() { c.happens(t, store.redis) })
			stored := store.payloads
			store.payloads = func(t testing.TB) (ours []string) {
				for _, p := range stored(t) {
					if p != `{"id":"x"}` {
						ours = append(ours, p)
					}
				}
				return ours
			}
			store.wantTwoRecords(t, c.once, int(store.redis.Do("XLEN", dead).(int64)))
		})
	}
}

// switchboard passes connections on to one of several servers.
type switchboard struct {
	net.Listener
	mu    sync.Mutex
	to    string
	conns []net.Conn
}

func startSwitchboard(t *testing.T, to string) *switchboard {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &switchboard{Listener: l, to: to}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { b.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.turn("")
		running.Wait()
	})
	return b
}

func (b *switchboard) pass(c net.Conn) {
	defer c.Close()
	b.mu.Lock()
	server, err := net.DialTimeout("tcp", b.to, time.Second)
	if err != nil {
		b.mu.Unlock()
		return
	}
	b.conns = append(b.conns, c, server)
	b.mu.Unlock()
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, c)
		server.Close()
	}()
	_, _ = io.Copy(c, server)
}

// turn sends new connections to another server, and ends those that there are.
func (b *switchboard) turn(to string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = to
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}

// TestResendAfterAFailoverToAnEmptyRedis: the same address is another server.
func TestResendAfterAFailoverToAnEmptyRedis(t *testing.T) {
	t.Parallel()
	first, second := redisStore(t), redisStore(t)
	board := startSwitchboard(t, first.redis.Addr())
	s := startServer(t, map[string]string{"REDIS_URL": "redis://" + board.Addr().String()})
	sentTwice(t, s, func() { board.turn(second.redis.Addr()) })
	second.wantTwoRecords(t, true, int(second.redis.Do("XLEN", "telemetry:teltonika:dead").(int64)))
}

// TestResendAfterTheDatabaseLostIt is the same for the embedded engine.
func TestResendAfterTheDatabaseLostIt(t *testing.T) {
	query := func(t *testing.T, file, query string, into ...any) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if len(into) == 0 {
			_, err = db.Exec(query)
		} else {
			err = db.QueryRow(query).Scan(into...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, file string) {
		for _, ending := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(file + ending); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		happens func(t *testing.T, file string)
		once    bool
	}{
		"nothing": {func(*testing.T, string) {}, true},
		"removed": {remove, false},
		"replaced by a backup": {func(t *testing.T, file string) {
			remove(t, file)
			if err := os.Rename(file+".backup", file); err != nil {
				t.Fatal(err)
			}
		}, false},
		"rows deleted": {func(t *testing.T, file string) {
			query(t, file, "DELETE FROM records")
			query(t, file, "DELETE FROM dead_letters")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := embeddedStore(t)
			file := filepath.Join(store.settings["DATA_DIR"], "telemetry.db")
			s := startServer(t, store.settings)
			testkit.Eventually(t, "the file", func() bool { return s.logged("database opened") })
			query(t, file, "VACUUM INTO '"+file+".backup'")
			sentTwice(t, s, func() { c.happens(t, file) })
			dead := 0
			query(t, file, "SELECT count(*) FROM dead_letters", &dead)
			store.wantTwoRecords(t, c.once, dead)
		})
	}
}
