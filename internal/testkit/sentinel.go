//go:build linux

package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelMaster is the name that the sentinels know the master by.
const sentinelMaster = "mymaster"

// Sentinel is a Redis with replicas and three sentinels, which take a server that has not answered for DownAfter for
// down. Its methods fail the test instead of returning errors.
type Sentinel struct {
	Servers []*Redis // the first one was the master at first
	tb      testing.TB
	ports   []int // of the sentinels
	ask     []*redis.SentinelClient
}

// StartSentinel starts a master with so many replicas, and the sentinels, and waits until all know one another. A
// server that is silent for longer than downAfter is down to the sentinels. The arguments are those of all servers.
func StartSentinel(tb testing.TB, replicas int, downAfter time.Duration, args ...string) *Sentinel {
	tb.Helper()
	s := &Sentinel{tb: tb}
	args = append(args, "--repl-diskless-sync-delay", "0")
	s.Servers = append(s.Servers, StartRedis(tb, args...))
	for range replicas {
		of := fmt.Sprintf("127.0.0.1 %d", s.Servers[0].port)
		s.Servers = append(s.Servers, StartRedis(tb, append(slices.Clone(args), "--replicaof", of)...))
	}
	s.awaitReplicas(s.Servers[0], replicas)
	s.ports = freePorts(tb, 3)
	for i := range s.ports {
		s.startSentinel(i, downAfter)
	}
	EventuallyIn(tb, "the sentinels know all servers and one another", redisTimeout, func() bool {
		for _, c := range s.ask {
			m, err := c.Master(context.Background(), sentinelMaster).Result()
			if err != nil || m["num-slaves"] != strconv.Itoa(replicas) || m["num-other-sentinels"] != "2" {
				return false
			}
		}
		return true
	})
	return s
}

func (s *Sentinel) startSentinel(i int, downAfter time.Duration) {
	s.tb.Helper()
	file := filepath.Join(s.tb.TempDir(), "sentinel.conf") // which the sentinel writes to
	config := fmt.Sprintf("port %[1]d\nbind 127.0.0.1\ndir %[2]s\nsentinel monitor %[3]s 127.0.0.1 %[4]d 2\n"+
		"sentinel down-after-milliseconds %[3]s %[5]d\nsentinel failover-timeout %[3]s 10000\n",
		s.ports[i], filepath.Dir(file), sentinelMaster, s.Servers[0].port, downAfter.Milliseconds())
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	p, err := startProcess("redis-server", file, "--sentinel")
	if err != nil {
		s.tb.Fatalf("start a sentinel: %v", err)
	}
	c := redis.NewSentinelClient(&redis.Options{Addr: s.addr(i), Protocol: 2, MaxRetries: -1, DialerRetries: 1,
		DisableIdentity: true})
	s.tb.Cleanup(func() {
		_ = c.Close()
		p.kill(s.tb)
	})
	s.ask = append(s.ask, c)
}

func (s *Sentinel) addr(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports[i])) }

// URL is where the service finds the master.
func (s *Sentinel) URL() string {
	var all []string
	for i := range s.ports {
		all = append(all, s.addr(i))
	}
	return "redis+sentinel://" + strings.Join(all, ",") + "/" + sentinelMaster + "/0"
}

// Master is the server that is the master by what a majority of the sentinels says; nil while they disagree.
func (s *Sentinel) Master() *Redis {
	votes := map[string]int{}
	for _, c := range s.ask {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		a, err := c.GetMasterAddrByName(ctx, sentinelMaster).Result()
		cancel()
		if err == nil {
			votes[net.JoinHostPort(a[0], a[1])]++
		}
	}
	for _, r := range s.Servers {
		if votes[r.Addr()] > len(s.ports)/2 {
			return r
		}
	}
	return nil
}

// AwaitMasterOtherThan waits until the sentinels agree on another master, and returns it.
func (s *Sentinel) AwaitMasterOtherThan(old *Redis) (promoted *Redis) {
	s.tb.Helper()
	EventuallyIn(s.tb, "another master is named", 60*time.Second, func() bool {
		promoted = s.Master()
		return promoted != nil && promoted != old
	})
	return promoted
}

// Failover has the sentinels promote a replica, as an operator does.
func (s *Sentinel) Failover() {
	s.tb.Helper()
	Eventually(s.tb, "a sentinel fails over", func() bool {
		return s.ask[0].Failover(context.Background(), sentinelMaster).Err() == nil
	})
}

// AwaitReplicas waits until so many replicas are linked to the master.
func (s *Sentinel) AwaitReplicas(n int) {
	s.tb.Helper()
	s.awaitReplicas(s.Master(), n)
}

func (s *Sentinel) awaitReplicas(master *Redis, n int) {
	s.tb.Helper()
	EventuallyIn(s.tb, "replicas are linked", 60*time.Second, func() bool {
		info := parseInfo(master.Do("INFO", "replication").(string))
		online := 0
		for name, value := range info {
			if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
				online++
			}
		}
		return info["role"] == "master" && online == n
	})
}
