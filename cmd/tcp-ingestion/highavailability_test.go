package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// available is what deploy/compose.sentinel.yaml has: a Redis with two replicas, three sentinels, and two instances
// behind haproxy.
type available struct {
	t         *testing.T
	store     store
	sentinel  *testkit.Sentinel
	instances [2]*server
	settings  [2]map[string]string
	balancer  string // where devices connect to
}

func startAvailable(t *testing.T) *available {
	h := &available{t: t}
	h.store, h.sentinel = sentinelStore(t)
	for i, id := range []string{"one", "two"} {
		h.settings[i] = maps.Clone(h.store.settings)
		maps.Copy(h.settings[i], map[string]string{"INSTANCE_ID": id, "PROXY_PROTOCOL_FROM": "127.0.0.1",
			"DATA_DIR": t.TempDir()})
		h.start(i)
	}
	h.balancer = balance(t, h.instances[0].devices, h.instances[1].devices)
	return h
}

// start starts an instance, at the port that it had if it had one.
func (h *available) start(i int) {
	h.t.Helper()
	h.instances[i] = startServer(h.t, h.settings[i])
	_, h.settings[i]["TELTONIKA_PORT"], _ = strings.Cut(h.instances[i].devices, ":")
}

// availableFaults are what the set-up is there for. The first ones are part of every run of the tests, the others are
// make crash's.
var availableFaults = []struct {
	name string
	do   func(h *available)
}{
	{"kill -9 of the master", func(h *available) {
		old := h.sentinel.Master()
		old.Kill()
		h.sentinel.AwaitMasterOtherThan(old)
		old.Restart()
	}},
	{"kill -9 of an instance", func(h *available) {
		h.instances[0].kill()
		h.start(0)
	}},
	{"rolling restart of the instances", func(h *available) {
		for i, s := range h.instances {
			if code := s.stop(syscall.SIGTERM, patience); code != 0 {
				h.t.Errorf("exit code %d", code)
			}
			h.start(i)
		}
	}},
	{"rolling restart of the Redis servers", func(h *available) {
		master := h.sentinel.Master()
		for _, r := range h.sentinel.Servers {
			if r != master {
				r.Restart()
				h.sentinel.AwaitReplicas(2)
			}
		}
		h.sentinel.Failover()
		promoted := h.sentinel.AwaitMasterOtherThan(master)
		h.sentinel.AwaitReplicas(2)
		// A server whose settings the sentinels write to its file is a replica when it comes back.
		master.Restart("--replicaof", fmt.Sprint("127.0.0.1 ", promoted.Port()))
	}},
	{"an instance and the master at once", func(h *available) {
		old := h.sentinel.Master()
		old.Kill()
		h.instances[1].kill()
		h.start(1)
		h.sentinel.AwaitMasterOtherThan(old)
		old.Restart()
	}},
}

// TestKillBehindABalancer does to the whole set-up what it is there for, while devices report through haproxy. Nothing
// acknowledged is lost, nothing is stored twice, and each device's records are in order.
func TestKillBehindABalancer(t *testing.T) {
	t.Parallel()
	h := startAvailable(t)
	f := startFleet(t, h.balancer, 60, func(o *simulate.Options) {
		chatty(o)
		o.Rate, o.ResponseTimeout = 1000, 10*time.Second
	})
	faults, end := availableFaults[:3], time.Now()
	if os.Getenv("CRASH_TIME") != "" {
		faults, end = availableFaults, end.Add(crashTime(t))
	}
	for more := true; more; more = time.Now().Before(end) {
		for _, fault := range faults {
			f.awaitProgress(t, 500)
			h.sentinel.AwaitReplicas(2)
			stall := f.longestStall(t, func() {
				fault.do(h)
				cured := time.Now()
				f.awaitProgress(t, 500)
				wantSoon(t, fault.name, cured)
			})
			t.Logf("%s: at most %v without an ACK", fault.name, stall.Round(100*time.Millisecond))
		}
	}
	f.end(t)
	for _, s := range h.instances {
		s.wantBalance()
		if code := s.stop(syscall.SIGTERM, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	h.store.wantAll(t, f.acknowledged(), false)
	h.store.wantOrder(t, f.acknowledged())
	h.store.wantMessages(t, f.messages())
}

// modemTime is what a device takes to connect again.
const modemTime = 3 * time.Second

// TestHop has a thousand devices go to and fro between two instances, often before the ACK of a frame, which they send
// again to the other one. Nothing is lost, and each device's records are in order.
//
// Nothing is stored twice either, unless what is sent again overtakes what it repeats: an instance that takes longer
// than modemTime for a frame, as on a busy machine under the race detector, writes it after the other one has looked.
// So that is make crash's to find.
func TestHop(t *testing.T) {
	t.Parallel()
	store := redisStore(t)
	var instances []*server
	for _, id := range []string{"one", "two"} {
		settings := maps.Clone(store.settings)
		settings["INSTANCE_ID"], settings["DATA_DIR"] = id, t.TempDir()
		instances = append(instances, startServer(t, settings))
	}
	var dials atomic.Int64
	f := startFleet(t, "", 1000, func(o *simulate.Options) {
		moderate(o)
		o.Rate, o.Reconnect, o.LoseACK = 1000, 0.5, 0.2
		o.RecordsPerFrame = simulate.Range{Min: 1, Max: 3}
		o.Dial = func(ctx context.Context, _ int) (net.Conn, error) {
			backoff.Pause(ctx, modemTime)
			return new(net.Dialer).DialContext(ctx, "tcp", instances[dials.Add(1)%2].devices)
		}
	})
	time.Sleep(crashTime(t) * 2 / 3) // of hopping: 10 s, or as long as is asked for
	ledger := f.end(t)
	t.Logf("%d connections, %d frames sent again", ledger.Connections, ledger.FramesResent)
	if ledger.FramesResent == 0 || ledger.LoginsRefused > 0 {
		t.Errorf("%d frames sent again, %d logins refused", ledger.FramesResent, ledger.LoginsRefused)
	}
	for _, s := range instances {
		s.wantBalance()
		if s.metric("teltonika_records_duplicate_total") == 0 {
			t.Error("no resend has come to an instance")
		}
	}
	store.wantAll(t, f.acknowledged(), os.Getenv("CRASH_TIME") == "")
	store.wantOrder(t, f.acknowledged())
}
