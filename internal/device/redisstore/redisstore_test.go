package redisstore

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/devicetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.AfterDials(m)) }

func newStore(t *testing.T, url string) *Store {
	t.Helper()
	s, err := New(url, "device-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // which may be closed already
	return s
}

func TestStore(t *testing.T) {
	servers := map[string]*testkit.Redis{} // each test's own
	devicetest.Run(t, func(t *testing.T) device.Store {
		if servers[t.Name()] == nil {
			servers[t.Name()] = testkit.StartRedis(t)
		}
		return newStore(t, servers[t.Name()].URL())
	})
}

func TestStrangers(t *testing.T) {
	servers := map[string]*testkit.Redis{} // each test's own
	devicetest.RunStrangers(t, func(t *testing.T) stranger.Store {
		if servers[t.Name()] == nil {
			servers[t.Name()] = testkit.StartRedis(t)
		}
		return newStore(t, servers[t.Name()].URL())
	})
}

func imei(n int) string { return fmt.Sprintf("%015d", 356307042000000+n) }

func save(t *testing.T, s *Store, imeis ...string) {
	t.Helper()
	var all []device.Kept
	for _, i := range imeis {
		all = append(all, device.Kept{IMEI: i, Model: "FMB120", Evidence: []byte{1, 0}})
	}
	if err := s.Save(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

// What others read: the fields of the hash, which expires, beside fields of their own.
func TestHash(t *testing.T) {
	server := testkit.StartRedis(t)
	s := newStore(t, server.URL())
	server.Do("HSET", "device:"+imei(1), "first_seen", "yesterday")
	save(t, s, imei(1))
	got := fmt.Sprint(server.Do("HMGET", "device:"+imei(1), "first_seen", "evidence", "model", "firmware", "model_asked"))
	if got != "[yesterday AQA= FMB120  0]" {
		t.Errorf("fields %s", got)
	}
	if ms := server.Do("PTTL", "device:"+imei(1)).(int64); ms < int64(29*24*time.Hour/time.Millisecond) {
		t.Errorf("it expires in %d ms", ms)
	}
}

// What a device has said to one instance outlives what another one saves, which had loaded the device before that.
func TestModelOutlivesOtherInstances(t *testing.T) {
	server := testkit.StartRedis(t)
	here, there := newStore(t, server.URL()), newStore(t, server.URL())
	save(t, here, imei(1))
	if err := there.Save(t.Context(), []device.Kept{{IMEI: imei(1), Evidence: []byte{1, 1}}}); err != nil {
		t.Fatal(err)
	}
	got, err := here.Load(t.Context(), []string{imei(1)})
	if err != nil || len(got) != 1 || got[0].Model != "FMB120" || string(got[0].Evidence) != "\x01\x01" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whoever makes devices up displaces the oldest.
func TestDevicesAreBounded(t *testing.T) {
	server := testkit.StartRedis(t)
	s := newStore(t, server.URL())
	s.most = 10
	save(t, s, imei(0))
	for i := 1; i < 40; i += 3 {
		time.Sleep(2 * time.Millisecond) // which orders them by Redis' clock
		save(t, s, imei(i), imei(i+1), imei(i+2))
	}
	if n := server.Do("DBSIZE").(int64); n != 11 { // the index too
		t.Errorf("%d keys", n)
	}
	if n := server.Do("EXISTS", "device:"+imei(39), "device:"+imei(0)).(int64); n != 1 {
		t.Error("another than the oldest had to go")
	}
}

// Whatever others have under a device's name does not keep the other devices from being kept.
func TestKeysOfOthers(t *testing.T) {
	server := testkit.StartRedis(t)
	s := newStore(t, server.URL())
	server.Do("SET", "device:"+imei(1), "mine")
	server.Do("HSET", "device:"+imei(2), "evidence", "?", "model_asked", "often")
	save(t, s, imei(1), imei(3))
	all, err := s.Load(t.Context(), []string{imei(1), imei(2), imei(3)})
	if err != nil || len(all) != 2 || all[0].IMEI != imei(2) || all[0].Asked != 0 || len(all[0].Evidence) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if got := server.Do("GET", "device:"+imei(1)); got != "mine" {
		t.Errorf("it is %v now", got)
	}
}

// The rights that docs/redis.md asks for are enough.
func TestFewRights(t *testing.T) {
	server := testkit.StartRedis(t)
	server.Do("ACL", "SETUSER", "gate", "on", ">hunter2", "~device:*", "~devices:*",
		"+hdel", "+hmget", "+hset", "+pexpire", "+eval", "+evalsha", "+type",
		"+exists", "+del", "+time", "+zadd", "+zrem", "+zcard", "+zrange", "+zrangebyscore")
	s := newStore(t, "redis://gate:hunter2@"+server.Addr())
	save(t, s, imei(1))
	if all, err := s.Load(t.Context(), []string{imei(1)}); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	one := []stranger.Kept{{ID: "a", At: time.Now(), JSON: []byte("{}")}}
	if err := s.SaveStrangers(t.Context(), one, []string{"b"}); err != nil {
		t.Error(err)
	}
	if all, err := s.LoadStrangers(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// Devices that have only logged in, as anybody can, go before all others, and are kept for a day.
func TestUnprovenDevicesGoFirst(t *testing.T) {
	server := testkit.StartRedis(t)
	s := newStore(t, server.URL())
	s.most = 5
	save(t, s, imei(0), imei(1))
	for i := 2; i < 20; i++ {
		p := &device.Presence{Connected: i%2 == 0, FirstSeen: device.Time{Time: time.Now()}}
		if err := s.Save(t.Context(), []device.Kept{{IMEI: imei(i), Presence: p}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // which orders them by Redis' clock
	}
	all, err := s.List(t.Context(), device.StateAll, "", 100)
	if err != nil || len(all) != 3 || all[0].IMEI != imei(17) {
		t.Errorf("%+v, %v", all, err)
	}
	if n := server.Do("EXISTS", "device:"+imei(0), "device:"+imei(1)).(int64); n != 2 {
		t.Errorf("%d of the two that are proven", n)
	}
	if ms := server.Do("PTTL", "device:"+imei(19)).(int64); ms > int64(24*time.Hour/time.Millisecond) {
		t.Errorf("it expires in %d ms", ms)
	}
}
