package main

import (
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// soakTime is how long the soak goes on: SOAK_TIME, or long enough for every fault once.
func soakTime(t *testing.T) time.Duration {
	text := os.Getenv("SOAK_TIME")
	if text == "" {
		return 15 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SOAK_TIME: %v", err)
	}
	return d
}

// TestSoak mixes fleets, intruders and faults of the engine, round after round. At the end the books balance, every
// acknowledged record is stored once, and neither memory nor goroutines have grown.
func TestSoak(t *testing.T) {
	kept := redisStore(t, "--appendonly", "yes", "--appendfsync", "always")
	kept.settings["REDIS_DURABILITY"] = "fsync"
	kept.settings["PUBLISH_TIMEOUT"] = "1s"
	kept.settings["MAX_CONNECTIONS"] = "400"
	s := startServer(t, profiled(kept.settings))
	steady := startFleet(t, s.devices, 60, func(o *simulate.Options) {
		moderate(o)
		o.Rate, o.Reconnect, o.Burst, o.LoseACK, o.ResponseTimeout = 1500, 0.01, 20, 0.005, 2*time.Second
	})
	// Devices whose clocks know no time, which count from their factory's date.
	timeless := startFleet(t, s.devices, 20, func(o *simulate.Options) {
		moderate(o)
		o.Rate, o.IMEIBase, o.ResponseTimeout = 300, 860000000000000, 2*time.Second
		o.Start = time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	intruders := startIntruders(t, s.devices)

	var goroutines, memory float64
	for end, round := time.Now().Add(soakTime(t)), 0; time.Now().Before(end) || round < 2; round++ {
		for _, fault := range []func(*testing.T, *server, store){freezeRedis, killRedis, fillRedis, cutConnections, hangUp} {
			steady.awaitProgress(t, 500)
			fault(t, s, kept)
		}
		timeless.awaitProgress(t, 100)
		if round == 0 {
			goroutines, memory = s.metric("go_goroutines"), s.liveHeap()
		}
	}
	intruders()
	steady.end(t)
	timeless.end(t)
	testkit.Eventually(t, "all connections are gone", func() bool { return s.metric("teltonika_connections_active") == 0 })
	s.wantGoroutines(goroutines + 10) // those after the first round had its connections
	if m := s.liveHeap(); m > memory+32 {
		t.Errorf("%.1f MiB after the first round, %.1f MiB at the end", memory, m)
	}
	s.wantBalance()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	kept.wantAll(t, append(steady.acknowledged(), timeless.acknowledged()...), false)
}

func (s *server) awaitReady(t *testing.T, want int) {
	t.Helper()
	testkit.EventuallyIn(t, "/readyz "+http.StatusText(want), readySoon, func() bool {
		status, _ := s.get("/readyz")
		return status == want
	})
}

func freezeRedis(t *testing.T, s *server, store store) {
	store.redis.Freeze()
	s.awaitReady(t, http.StatusServiceUnavailable)
	store.redis.Thaw()
	s.awaitReady(t, http.StatusOK)
}

func killRedis(t *testing.T, s *server, store store) {
	store.redis.Kill()
	s.awaitReady(t, http.StatusServiceUnavailable)
	store.redis.Restart()
	s.awaitReady(t, http.StatusOK)
}

// fillRedis brings Redis to its memory limit, where it refuses writes.
func fillRedis(t *testing.T, s *server, store store) {
	store.redis.Do("CONFIG", "SET", "maxmemory-policy", "noeviction")
	store.redis.Do("CONFIG", "SET", "maxmemory", "1mb")
	s.awaitReady(t, http.StatusServiceUnavailable)
	store.redis.Do("CONFIG", "SET", "maxmemory", "0")
	s.awaitReady(t, http.StatusOK)
}

func cutConnections(t *testing.T, s *server, store store) {
	store.redis.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
}

func hangUp(t *testing.T, s *server, _ store) { s.cmd.Process.Signal(syscall.SIGHUP) }

// startIntruders opens connections that no tracker would: garbage, half a login, a login that goes silent in the
// middle of a frame, and a device that never takes its ACKs. The returned function ends them.
func startIntruders(t *testing.T, address string) (end func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, intrude := range []func(net.Conn, *rand.Rand){sendGarbage, stopInTheLogin, stopInAFrame, neverRead} {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(9, uint64(i)))
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				conn, err := net.Dial("tcp", address)
				if err != nil {
					continue
				}
				conn.SetDeadline(time.Now().Add(time.Second))
				intrude(conn, r)
				conn.Close()
			}
		})
	}
	return func() {
		close(stop)
		wg.Wait()
	}
}

func sendGarbage(conn net.Conn, r *rand.Rand) {
	b := make([]byte, 1+r.IntN(2000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	conn.Write(b)
	conn.Read(b)
}

func stopInTheLogin(conn net.Conn, r *rand.Rand) {
	login, _ := teltonika.AppendLogin([]byte{teltonika.KeepAlive}, "990000000000001")
	conn.Write(login[:1+r.IntN(len(login)-1)])
	conn.Read(make([]byte, 1))
}

func stopInAFrame(conn net.Conn, r *rand.Rand) {
	login, _ := teltonika.AppendLogin(nil, "990000000000002")
	conn.Write(login)
	conn.Read(make([]byte, 1))
	conn.Write([]byte{0, 0, 0, 0, 0, 0, byte(r.IntN(250)), 200, 0x8e, 1})
	conn.Read(make([]byte, 1))
}

func neverRead(conn net.Conn, _ *rand.Rand) {
	stream, _ := teltonika.AppendLogin(nil, "990000000000003")
	empty := teltonika.AppendFrame(nil, []byte{0x8e, 0, 0})
	for range 500 {
		stream = append(stream, empty...)
	}
	conn.Write(stream)
}
