package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const clusterShards = 8

func shardStream(shard int) string { return fmt.Sprintf("telemetry:teltonika:{%d}", shard) }

// clusterStore starts a Redis Cluster of three masters with two replicas each, who take a node that is silent for two
// seconds for down.
func clusterStore(t testing.TB, args ...string) (store, *testkit.RedisCluster) {
	c := testkit.StartRedisCluster(t, 3, 2, 2*time.Second, args...)
	return store{
		name: "cluster",
		settings: map[string]string{
			"REDIS_URL": c.URL(), "REDIS_STREAM_MAXLEN": "0", "REDIS_DURABILITY": "replicas=1",
			"REDIS_SHARDS": fmt.Sprint(clusterShards), "DATA_DIR": t.TempDir(),
		},
		payloads: func(t testing.TB) (all []string) {
			for shard := range clusterShards {
				key := shardStream(shard)
				for _, e := range streamEntries(t, c.Master(key), key, "ts", "device_id", "codec", "payload") {
					all = append(all, e[3])
				}
			}
			return all
		},
		messages: func(t testing.TB) (all []string) {
			for shard := range clusterShards {
				key := shardStream(shard) + ":messages"
				for _, e := range streamEntries(t, c.Master(key), key, "ts", "device_id", "codec", "type", "sent", "payload") {
					all = append(all, e[1]+"-"+e[5])
				}
			}
			return all
		},
	}, c
}

// redisClusterFaults happen to the master of a key. The first two are part of every run of the tests, the others are
// make crash's.
var redisClusterFaults = []struct {
	name string
	do   func(t *testing.T, c *testkit.RedisCluster, key string)
}{
	{"kill -9 of a master", func(_ *testing.T, c *testkit.RedisCluster, key string) {
		old := c.Master(key)
		old.Kill()
		c.AwaitMasterOtherThan(key, old)
		old.Restart()
	}},
	{"a slot moved", func(_ *testing.T, c *testkit.RedisCluster, key string) {
		for _, n := range c.Masters() {
			if n != c.Master(key) {
				c.Move(key, n, nil)
				return
			}
		}
	}},
	{"a master frozen for longer than an election", func(_ *testing.T, c *testkit.RedisCluster, key string) {
		old := c.Master(key)
		old.Freeze()
		c.AwaitMasterOtherThan(key, old)
		time.Sleep(2 * time.Second) // for which it is frozen beside a new one
		old.Thaw()
	}},
	{"CLUSTER FAILOVER", func(_ *testing.T, c *testkit.RedisCluster, key string) { c.Failover(key) }},
	{"kill -9 of a replica", func(_ *testing.T, c *testkit.RedisCluster, key string) {
		r := c.Replica(c.Master(key))
		r.Kill()
		time.Sleep(4 * time.Second) // for which it is away
		r.Restart()
	}},
	{"every node restarted in turn", func(_ *testing.T, c *testkit.RedisCluster, _ string) {
		for _, n := range c.Nodes {
			n.Kill()
			c.AwaitReplaced(n)
			n.Restart()
			c.AwaitWhole(2)
		}
	}},
}

// TestKillClusterMaster does to a cluster under load what has another node serve a shard. The server stays up; nothing
// acknowledged is lost, nothing is stored twice, each device's records are in order, and ACKs of the shard come soon.
func TestKillClusterMaster(t *testing.T) {
	t.Parallel()
	store, c := clusterStore(t)
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 80, func(o *simulate.Options) {
		chatty(o)
		o.Rate = 2000
	})
	faults, end, rounds := redisClusterFaults[:2], time.Now(), 0
	if os.Getenv("CRASH_TIME") != "" {
		faults, end = redisClusterFaults, end.Add(crashTime(t))
	}
	for more := true; more; more = time.Now().Before(end) {
		for _, fault := range faults {
			key := shardStream(rounds % clusterShards)
			rounds++
			f.awaitProgress(t, 1000)
			c.AwaitWhole(2)
			stall := longestShardStall(t, c, key, func(progress func() bool) {
				fault.do(t, c, key)
				cured := time.Now()
				testkit.EventuallyIn(t, "the shard stores again", time.Minute, progress)
				wantSoon(t, fault.name, cured)
			})
			t.Logf("%s: at most %v in which the shard has stored nothing", fault.name, stall.Round(100*time.Millisecond))
		}
	}
	t.Logf("%d rounds", rounds)
	f.awaitProgress(t, 1000)
	f.endWith(t, s)
	c.AwaitWhole(2)
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
	store.wantMessages(t, f.messages())
}

// TestClusterOverTLS has a cluster that the service reaches by TLS only, and whose masters change.
func TestClusterOverTLS(t *testing.T) {
	t.Parallel()
	ca := newCertificateAuthority(t)
	ca.renew(90)
	ofClient, keyOfClient := ca.writeDevice("node") // nodes are each other's clients, too
	store, c := clusterStore(t, "--tls-cert-file", ca.path("server.crt"), "--tls-key-file", ca.path("server.key"),
		"--tls-client-cert-file", ofClient, "--tls-client-key-file", keyOfClient,
		"--tls-ca-cert-file", ca.path("ca.crt"), "--tls-auth-clients", "no")
	store.settings["SSL_CERT_FILE"] = ca.path("ca.crt")
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 40, moderate)
	for shard := range 2 {
		f.awaitProgress(t, 1000)
		c.Failover(shardStream(shard))
	}
	f.awaitProgress(t, 1000)
	f.end(t)
	c.AwaitWhole(2)
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
}

// longestShardStall is the longest time in which a stream has not grown. progress says whether it has since its first
// call.
func longestShardStall(
	t *testing.T, c *testkit.RedisCluster, key string, during func(progress func() bool),
) (longest time.Duration) {
	client := c.Client()
	defer client.Close()
	over, result, lengths := make(chan struct{}), make(chan time.Duration), make(chan int64)
	go func() {
		length, since := int64(0), time.Now()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
			case lengths <- length:
				continue
			case <-over:
				tick.Stop()
				result <- longest
				return
			}
			now, err := client.XLen(t.Context(), key).Result()
			longest = max(longest, time.Since(since))
			if err == nil && now > length {
				length, since = now, time.Now()
			}
		}
	}()
	first := int64(-1)
	during(func() bool {
		now := <-lengths
		if first < 0 {
			first = now
		}
		return now > first
	})
	close(over)
	return <-result
}

// TestClusterReplicasMissing has one replica of each master, which are away at the start and come later.
func TestClusterReplicasMissing(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1, time.Minute)
	settings := map[string]string{
		"REDIS_URL": c.URL(), "REDIS_DURABILITY": "replicas=1", "REDIS_SHARDS": "8", "DATA_DIR": t.TempDir(),
	}
	code, out, errOut := execute(t, settings, "", "check")
	for _, says := range []string{"replicated", c.Nodes[2].Addr(), "one replica", "a cluster", "shards 8",
		"set CONTROL_REDIS_URL"} {
		if code != 0 || !strings.Contains(out, says) {
			t.Errorf("check: exit code %d, want 0 and %q:\n%s%s", code, says, out, errOut)
		}
	}
	for _, n := range c.Nodes[3:] {
		n.Kill()
	}
	s := startServer(t, settings)
	testkit.EventuallyIn(t, "not ready, with the reason", patience, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "0 of 1 redis replicas")
	})
	if code, out, errOut := execute(t, settings, "", "check"); code != 1 {
		t.Errorf("check without replicas: exit code %d:\n%s%s", code, out, errOut)
	}
	for _, n := range c.Nodes[3:] {
		n.Restart()
	}
	testkit.EventuallyIn(t, "ready", patience, func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})
	f := startFleet(t, s.devices, 20, moderate)
	f.awaitProgress(t, 500)
	f.end(t)
	for _, lines := range []struct {
		least   int
		command []string
	}{
		{len(f.acknowledged()), []string{"redecode"}}, {3, []string{"tail", "--from-start", "--count", "3"}},
	} {
		code, out, errOut := execute(t, settings, "", lines.command...)
		if n := strings.Count(out, "\n"); code != 0 || n < lines.least {
			t.Errorf("%q: exit code %d, %d lines, want %d: %s", lines.command, code, n, lines.least, errOut)
		}
	}
	down := c.Master(shardStream(3))
	down.Kill()
	code, out, errOut = execute(t, settings, "", "check")
	if says := "shard 3 does not store"; code != 0 || !strings.Contains(out, says) || !strings.Contains(out, down.Addr()) {
		t.Errorf("check without a master: exit code %d, want 0, %q and %s:\n%s%s", code, says, down.Addr(), out, errOut)
	}
	if status, body := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("not ready for the lack of one master: %s", body)
	}
	down.Restart()
	c.AwaitWhole(1)

	settings["REDIS_SHARDS"] = "4"
	code, out, errOut = execute(t, settings, "", "check")
	if says := "set REDIS_SHARDS to that number"; code != 1 || !strings.Contains(out+errOut, says) {
		t.Errorf("check with another number of shards: exit code %d, want 1 and %q:\n%s%s", code, says, out, errOut)
	}
	settings["DATA_DIR"] = t.TempDir()
	other := startServer(t, settings)
	testkit.EventuallyIn(t, "not ready, with the reason", patience, func() bool {
		status, body := other.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "set REDIS_SHARDS to that number")
	})
}
