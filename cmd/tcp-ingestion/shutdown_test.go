package main

import (
	"net"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// idleDevices logs in so many devices that then say nothing.
func idleDevices(t *testing.T, address string, n int) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for i := range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		login := append([]byte{0, 15}, []byte("8600000000")...)
		login = append(login, byte('0'+i/10000%10), byte('0'+i/1000%10), byte('0'+i/100%10), byte('0'+i/10%10),
			byte('0'+i%10))
		if _, err := conn.Write(login); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1)
		if _, err := conn.Read(answer); err != nil || answer[0] != 1 {
			t.Fatalf("login of device %d: %v, %v", i, answer, err)
		}
		conns = append(conns, conn)
	}
	return conns
}

// TestStopWithAThousandConnections: half of them send without pause, the other half wait.
func TestStopWithAThousandConnections(t *testing.T) {
	for _, open := range []func(testing.TB) store{func(t testing.TB) store { return redisStore(t) }, embeddedStore} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			s := startServer(t, store.settings)
			idle := idleDevices(t, s.devices, 500)
			f := startFleet(t, s.devices, 500, func(o *simulate.Options) { o.Drain = time.Second })
			f.awaitProgress(t, 5000)
			s.wantMetric("teltonika_connections_active", 1000)
			start := time.Now()
			if code := s.stop(syscall.SIGTERM, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			t.Logf("stopped in %v", time.Since(start))
			f.stop()
			<-f.done
			for _, conn := range idle {
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Fatalf("an idle device got %d bytes, %v", n, err)
				}
			}
			store.wantAll(t, f.acknowledged(), false)
		})
	}
}

func TestStopWithFrozenEngine(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	store.settings["DRAIN_TIMEOUT_MS"] = "1500"
	store.settings["SHUTDOWN_TIMEOUT_MS"] = "6000"
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 200, func(o *simulate.Options) { o.Drain = time.Second })
	f.awaitProgress(t, 2000)
	store.redis.Freeze()
	if code := s.stop(syscall.SIGTERM, 6*time.Second+patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	f.stop()
	<-f.done
	store.redis.Thaw()
	store.wantAll(t, f.acknowledged(), false)
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 50, func(o *simulate.Options) { o.Drain = time.Second })
	f.awaitProgress(t, 500)
	store.redis.Freeze()
	f.settled(t)
	s.cmd.Process.Signal(syscall.SIGINT)
	testkit.Eventually(t, "the first signal is logged", func() bool { return s.logged("stopping") })
	if s.exitedWithin(signalEcho / 2) {
		t.Error("stopped at once by one signal")
	}
	// What comes within signalEcho is taken for the same signal, so a person presses Ctrl-C again.
	testkit.EventuallyIn(t, "stopped at once", 5*time.Second, func() bool {
		s.cmd.Process.Signal(syscall.SIGINT)
		return s.exitedWithin(20 * time.Millisecond)
	})
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func (s *server) exitedWithin(d time.Duration) bool {
	select {
	case <-s.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// TestEngineDownAtStart: the server starts, does not acknowledge, and stores as soon as Redis is there.
func TestEngineDownAtStart(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	r.Kill()
	s := startServer(t, map[string]string{"REDIS_URL": r.URL()})
	f := startFleet(t, s.devices, 20, nil)
	testkit.Eventually(t, "devices are connected", func() bool { return s.metric("teltonika_connections_active") == 20 })
	if status, body := s.get("/readyz"); status != 503 {
		t.Errorf("/readyz %d %s", status, body)
	}
	if n := f.count(); n != 0 {
		t.Errorf("%d records acknowledged without an engine", n)
	}
	r.Restart()
	f.awaitProgress(t, 100)
	testkit.EventuallyIn(t, "ready", readySoon, func() bool {
		status, _ := s.get("/readyz")
		return status == 200
	})
	f.end(t)
	s.wantBalance()
}
