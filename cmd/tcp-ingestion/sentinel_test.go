package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// sentinelStore starts a Redis with two replicas and three sentinels, who take a server that is silent for a second for
// down.
func sentinelStore(t testing.TB) (store, *testkit.Sentinel) {
	n := testkit.StartSentinel(t, 2, time.Second)
	return store{
		name: "sentinel",
		settings: map[string]string{
			"REDIS_URL": n.URL(), "REDIS_STREAM_MAXLEN": "0", "REDIS_DURABILITY": "replicas=1",
		},
		payloads: func(t testing.TB) []string { return streamPayloads(t, n.Master()) },
		messages: func(t testing.TB) []string { return streamMessages(t, n.Master()) },
	}, n
}

// sentinelFaults happen to the servers, mostly to the master. The first is part of every run of the tests, the others
// are make crash's.
var sentinelFaults = []struct {
	name string
	do   func(n *testkit.Sentinel)
}{
	{"kill -9 of the master", func(n *testkit.Sentinel) {
		old := n.Master()
		old.Kill()
		n.AwaitMasterOtherThan(old)
		n.Restart(old)
	}},
	{"SENTINEL FAILOVER", func(n *testkit.Sentinel) {
		old := n.Master()
		n.Failover()
		n.AwaitMasterOtherThan(old)
	}},
	{"the master frozen for longer than an election", func(n *testkit.Sentinel) {
		old := n.Master()
		old.Freeze()
		n.AwaitMasterOtherThan(old)
		time.Sleep(2 * time.Second) // for which it is frozen beside a new one
		old.Thaw()
	}},
	{"kill -9 of a replica", func(n *testkit.Sentinel) {
		master := n.Master()
		for _, r := range n.Servers {
			if r != master {
				r.Kill()
				time.Sleep(3 * time.Second) // for which it is away
				n.Restart(r)
				return
			}
		}
	}},
	{"every server restarted in turn, the master last", func(n *testkit.Sentinel) {
		old := n.Master()
		for _, r := range n.Servers {
			if r != old {
				r.Kill()
				n.Restart(r)
				n.AwaitReplicas(2)
			}
		}
		n.Failover()
		n.AwaitMasterOtherThan(old)
		n.AwaitReplicas(2)
		old.Kill()
		n.Restart(old)
	}},
}

// TestKillSentinelMaster does to a master under load what makes sentinels promote a replica. The server stays up;
// nothing acknowledged is lost, nothing is stored twice, each device's records are in order, and ACKs come soon.
func TestKillSentinelMaster(t *testing.T) {
	t.Parallel()
	store, n := sentinelStore(t)
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 40, func(o *simulate.Options) {
		chatty(o)
		o.Rate = 2000
	})
	faults, end := sentinelFaults[:1], time.Now()
	if os.Getenv("CRASH_TIME") != "" {
		faults, end = sentinelFaults, end.Add(crashTime(t))
	}
	for more := true; more; more = time.Now().Before(end) {
		for _, fault := range faults {
			f.awaitProgress(t, 1000)
			n.AwaitReplicas(2)
			stall := f.longestStall(t, func() {
				fault.do(n)
				cured := time.Now()
				f.awaitProgress(t, 1000)
				wantSoon(t, fault.name, cured)
			})
			t.Logf("%s: at most %v without an ACK", fault.name, stall.Round(100*time.Millisecond))
		}
	}
	f.endWith(t, s)
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
	store.wantMessages(t, f.messages())
}

// TestSentinelReplicaMissing has one replica, which is away at the start and comes later.
func TestSentinelReplicaMissing(t *testing.T) {
	t.Parallel()
	n := testkit.StartSentinel(t, 1, time.Second)
	settings := map[string]string{"REDIS_URL": n.URL(), "REDIS_DURABILITY": "replicas=1", "DATA_DIR": t.TempDir()}
	code, out, errOut := execute(t, settings, "", "check")
	for _, says := range []string{"replicated", n.Master().Addr(), "one replica", "sentinels", "quorum"} {
		if code != 0 || !strings.Contains(out, says) {
			t.Errorf("check: exit code %d, want 0 and %q:\n%s%s", code, says, out, errOut)
		}
	}
	n.Servers[1].Kill()
	s := startServer(t, settings)
	testkit.EventuallyIn(t, "not ready, with the reason", patience, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "0 of 1 redis replicas")
	})
	if code, out, errOut := execute(t, settings, "", "check"); code != 1 {
		t.Errorf("check without a replica: exit code %d:\n%s%s", code, out, errOut)
	}
	n.Servers[1].Restart()
	testkit.EventuallyIn(t, "ready", patience, func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})
	f := startFleet(t, s.devices, 5, moderate)
	f.awaitProgress(t, 100)
	f.end(t)
}
