//go:build linux

package testkit

import (
	"context"
	"errors"
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
	relays  []*Relay // in front of the servers, if there are any
	ports   []int    // of the sentinels
	ask     []*redis.SentinelClient

	downAfter time.Duration
}

// StartSentinel starts a master with so many replicas, and the sentinels, and waits until all know one another. A
// server that is silent for longer than downAfter is down to the sentinels. The arguments are those of all servers.
func StartSentinel(tb testing.TB, replicas int, downAfter time.Duration, args ...string) *Sentinel {
	tb.Helper()
	s := &Sentinel{tb: tb, downAfter: downAfter}
	args = append(args, "--repl-diskless-sync-delay", "0")
	s.Servers = append(s.Servers, StartRedis(tb, args...))
	for range replicas {
		of := fmt.Sprintf("127.0.0.1 %d", s.Servers[0].port)
		s.Servers = append(s.Servers, StartRedis(tb, append(slices.Clone(args), "--replicaof", of)...))
	}
	s.awaitReplicas(s.Servers[0], replicas)
	s.ports = freePorts(tb, 3)
	for i := range s.ports {
		s.startSentinel(i)
	}
	s.awaitKnown()
	return s
}

// awaitKnown waits until the sentinels know all servers and one another.
func (s *Sentinel) awaitKnown() {
	s.tb.Helper()
	replicas := strconv.Itoa(len(s.Servers) - 1)
	EventuallyIn(s.tb, "the sentinels know all servers and one another", redisTimeout, func() bool {
		for _, c := range s.ask {
			m, err := c.Master(context.Background(), sentinelMaster).Result()
			if err != nil || m["num-slaves"] != replicas || m["num-other-sentinels"] != "2" {
				return false
			}
		}
		return true
	})
}

// Relays puts a relay in front of every server, in the order of Servers, which is where the sentinels send clients from
// then on.
func (s *Sentinel) Relays() []*Relay {
	s.tb.Helper()
	var master string
	for i, r := range s.Servers {
		relay, port := r.startRelay()
		s.relays = append(s.relays, relay)
		r.Do("CONFIG", "SET", "replica-announce-port", port)
		if i == 0 {
			master = port
		} else {
			r.Do("REPLICAOF", "127.0.0.1", master)
		}
	}
	s.awaitReplicas(s.Servers[0], len(s.Servers)-1)
	down := strconv.FormatInt(s.downAfter.Milliseconds(), 10)
	for _, c := range s.ask {
		ctx := context.Background()
		if err := errors.Join(
			c.Remove(ctx, sentinelMaster).Err(),
			c.Monitor(ctx, sentinelMaster, "127.0.0.1", master, "2").Err(),
			c.Set(ctx, sentinelMaster, "down-after-milliseconds", down).Err(),
			c.Set(ctx, sentinelMaster, "failover-timeout", "10000").Err(),
		); err != nil {
			s.tb.Fatalf("name the relays to a sentinel: %v", err)
		}
	}
	s.awaitKnown()
	return s.relays
}

// named is where the sentinels send clients of a server.
func (s *Sentinel) named(server int) string {
	if s.relays != nil {
		return s.relays[server].Addr()
	}
	return s.Servers[server].Addr()
}

func (s *Sentinel) startSentinel(i int) {
	s.tb.Helper()
	file := filepath.Join(s.tb.TempDir(), "sentinel.conf") // which the sentinel writes to
	config := fmt.Sprintf("port %[1]d\nbind 127.0.0.1\ndir %[2]s\nsentinel monitor %[3]s 127.0.0.1 %[4]d 2\n"+
		"sentinel down-after-milliseconds %[3]s %[5]d\nsentinel failover-timeout %[3]s 10000\n",
		s.ports[i], filepath.Dir(file), sentinelMaster, s.Servers[0].port, s.downAfter.Milliseconds())
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
		if s.tb.Failed() {
			s.tb.Logf("log of a sentinel:\n%s", p.out.String())
		}
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
	for i, r := range s.Servers {
		if votes[s.named(i)] > len(s.ports)/2 {
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

// Restart starts a killed server again, as what it was by what sentinels write into the files of servers: a replica
// follows the master of now. One that were to start as an empty master could be promoted before it is told better.
func (s *Sentinel) Restart(r *Redis) {
	s.tb.Helper()
	master := s.Master()
	if master == nil || master == r {
		s.tb.Fatalf("%s cannot follow a master", r.Addr())
	}
	_, port, _ := net.SplitHostPort(s.named(slices.Index(s.Servers, master)))
	r.Restart("--replicaof", "127.0.0.1 "+port)
}

// AwaitReplicas waits until so many replicas are linked to the master.
func (s *Sentinel) AwaitReplicas(n int) {
	s.tb.Helper()
	EventuallyIn(s.tb, "replicas are linked to the master", 60*time.Second, func() bool {
		master := s.Master()
		return master != nil && master.run != nil && linked(master) == n
	})
}

func (s *Sentinel) awaitReplicas(master *Redis, n int) {
	s.tb.Helper()
	EventuallyIn(s.tb, "replicas are linked", 60*time.Second, func() bool { return linked(master) == n })
}

// linked is how many replicas a master has; none if the server is no master.
func linked(r *Redis) (online int) {
	info := parseInfo(r.Do("INFO", "replication").(string))
	if info["role"] != "master" {
		return 0
	}
	for name, value := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			online++
		}
	}
	return online
}
