//go:build linux

package testkit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// slots is how many parts the keys of a Redis Cluster are in.
const slots = 16384

// RedisCluster is a Redis Cluster. Its methods fail the test instead of returning errors.
type RedisCluster struct {
	Nodes []*Redis // the first ones were the masters at first
	tb    testing.TB
	ids   []string

	masters int   // at first
	tls     []int // the nodes' ports of TLS, if they have any
}

// StartRedisCluster starts a Redis Cluster of so many masters with an equal share of the slots each, and with so many
// replicas of each, and waits until every node knows the others. A node that is silent for longer than nodeTimeout is
// down to the others. The arguments are those of all nodes. With those of a certificate the nodes speak TLS to one
// another, and to clients at ports of its own; the test's own clients speak plain text.
func StartRedisCluster(tb testing.TB, masters, replicas int, nodeTimeout time.Duration, args ...string) *RedisCluster {
	tb.Helper()
	return StartRedisClusterOf(tb, "redis-server", masters, replicas, nodeTimeout, args...)
}

// StartRedisClusterOf is StartRedisCluster with another program.
func StartRedisClusterOf(
	tb testing.TB, program string, masters, replicas int, nodeTimeout time.Duration, args ...string,
) *RedisCluster {
	tb.Helper()
	c := &RedisCluster{tb: tb, masters: masters}
	args = append(args, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no",
		"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10),
		"--repl-diskless-sync-delay", "0")
	var buses []string
	for i := range masters * (1 + replicas) {
		bus := strconv.Itoa(FreePort(tb)) // by default it is the port and 10000, which need not be a port
		own := append(slices.Clone(args), "--cluster-port", bus)
		if slices.Contains(args, "--tls-cert-file") {
			c.tls = append(c.tls, FreePort(tb))
			own = append(own, "--tls-port", strconv.Itoa(c.tls[i]), "--tls-cluster", "yes", "--tls-replication", "yes")
		}
		n := StartRedisOf(tb, program, own...)
		n.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		c.Nodes, buses = append(c.Nodes, n), append(buses, bus)
		c.ids = append(c.ids, n.Do("CLUSTER", "MYID").(string))
	}
	c.Serve()
	for i, n := range c.Nodes {
		for j := range i { // everybody with everybody, which is faster than gossip
			n.Do("CLUSTER", "MEET", "127.0.0.1", c.Nodes[j].port, buses[j])
		}
	}
	for i := masters; i < len(c.Nodes); i++ {
		master := c.ids[i%masters]
		EventuallyIn(tb, "a replica knows its master", redisTimeout, func() bool {
			_, err := c.Nodes[i].TryDo("CLUSTER", "REPLICATE", master)
			return err == nil
		})
	}
	c.AwaitWhole(replicas)
	return c
}

// URL is where the service finds the cluster: two of its nodes.
func (c *RedisCluster) URL() string {
	if c.tls != nil {
		return fmt.Sprintf("rediss+cluster://127.0.0.1:%d,127.0.0.1:%d", c.tls[0], c.tls[len(c.tls)-1])
	}
	return "redis+cluster://" + c.Nodes[0].Addr() + "," + c.Nodes[len(c.Nodes)-1].Addr()
}

// Relays puts a relay in front of every node, in the order of Nodes, which is where clients are sent from then on.
func (c *RedisCluster) Relays() (relays []*Relay) {
	c.tb.Helper()
	var ports []string
	for _, n := range c.Nodes {
		r, port := n.startRelay()
		n.Do("CONFIG", "SET", "cluster-announce-port", port)
		relays, ports = append(relays, r), append(ports, port)
	}
	EventuallyIn(c.tb, "all nodes name the relays", redisTimeout, func() bool {
		for _, n := range c.Nodes {
			named := fmt.Sprint(n.Do("CLUSTER", "SHARDS"))
			if slices.ContainsFunc(ports, func(p string) bool { return !strings.Contains(named, "port "+p+" ") }) {
				return false
			}
		}
		return true
	})
	return relays
}

// Client is a client of the test's own.
func (c *RedisCluster) Client() *redis.ClusterClient {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Addr())
	}
	logging.Disable()
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: all, Protocol: 2, MaxRedirects: 10, DisableIdentity: true, ReadTimeout: redisTimeout,
	})
}

// ask asks a node, which may be frozen or killed: then nothing is asked, or for a second only.
func (c *RedisCluster) ask(n *Redis, question func(context.Context, *redis.Client)) {
	if n.run == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: n.Addr(), Protocol: 2, MaxRetries: -1, DialerRetries: 1,
		DisableIdentity: true, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	question(ctx, client)
}

// info is what a node says of the cluster or of itself; empty while it does not answer.
func (c *RedisCluster) info(n *Redis, command ...any) (info map[string]string) {
	c.ask(n, func(ctx context.Context, client *redis.Client) {
		text, _ := client.Do(ctx, command...).Text()
		info = parseInfo(text)
	})
	return info
}

// Masters are the nodes that are masters with slots by what they say themselves, frozen and killed ones left out.
func (c *RedisCluster) Masters() (masters []*Redis) {
	for _, n := range c.Nodes {
		if c.info(n, "INFO", "replication")["role"] == "master" {
			masters = append(masters, n)
		}
	}
	return masters
}

// Master is the one of a key, by what most nodes say; nil while they disagree.
func (c *RedisCluster) Master(key string) *Redis {
	votes := map[string]int{}
	for _, n := range c.Nodes {
		c.ask(n, func(ctx context.Context, client *redis.Client) {
			slot, _ := client.ClusterKeySlot(ctx, key).Result()
			all, _ := slotsOf(ctx, client)
			for _, s := range all {
				if int64(s.Start) <= slot && slot <= int64(s.End) && len(s.Nodes) > 0 {
					votes[s.Nodes[0].ID]++
				}
			}
		})
	}
	for i, id := range c.ids {
		if votes[id] > len(c.Nodes)/2 {
			return c.Nodes[i]
		}
	}
	return nil
}

// slotsOf is who serves the slots. CLUSTER SHARDS has masters that have failed, too.
func slotsOf(ctx context.Context, client *redis.Client) ([]redis.ClusterSlot, error) {
	//lint:ignore SA1019 see above
	return client.ClusterSlots(ctx).Result()
}

// AwaitReplaced waits until no node takes a killed one for the master of any slot. One that comes back earlier would
// come back without what it has not on its disk, and its replicas would throw that away too.
func (c *RedisCluster) AwaitReplaced(n *Redis) {
	c.tb.Helper()
	id := c.ids[slices.Index(c.Nodes, n)]
	EventuallyIn(c.tb, "another master has taken over", 60*time.Second, func() bool {
		replaced := true
		for _, other := range c.Nodes {
			c.ask(other, func(ctx context.Context, client *redis.Client) {
				all, err := slotsOf(ctx, client)
				replaced = replaced && err == nil && !slices.ContainsFunc(all, func(s redis.ClusterSlot) bool {
					return len(s.Nodes) > 0 && s.Nodes[0].ID == id
				})
			})
		}
		return replaced
	})
}

// AwaitMasterOtherThan waits until most nodes name another master of a key than the old one, and returns it.
func (c *RedisCluster) AwaitMasterOtherThan(key string, old *Redis) (promoted *Redis) {
	c.tb.Helper()
	EventuallyIn(c.tb, "another master is named", 60*time.Second, func() bool {
		promoted = c.Master(key)
		return promoted != nil && promoted != old
	})
	return promoted
}

// AwaitWhole waits until all nodes think that all slots are served, and every master with slots has so many replicas.
func (c *RedisCluster) AwaitWhole(replicas int) {
	c.tb.Helper()
	EventuallyIn(c.tb, "the cluster is whole", 60*time.Second, func() bool {
		linked := 0
		for _, n := range c.Nodes {
			state := c.info(n, "CLUSTER", "INFO")
			whole := state["cluster_state"] == "ok" &&
				state["cluster_slots_fail"] == "0" && state["cluster_slots_pfail"] == "0" &&
				state["cluster_slots_assigned"] == strconv.Itoa(slots) &&
				state["cluster_known_nodes"] == strconv.Itoa(len(c.Nodes))
			if !whole {
				return false
			}
			for name, value := range c.info(n, "INFO", "replication") {
				if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
					linked++
				}
			}
		}
		return linked == len(c.Nodes)*replicas/(1+replicas)
	})
}

// Unserve has all slots served by nobody, and Serve by the masters that had them first.
func (c *RedisCluster) Unserve() { c.tb.Helper(); c.slots("DELSLOTSRANGE") }

// Serve ends Unserve.
func (c *RedisCluster) Serve() { c.tb.Helper(); c.slots("ADDSLOTSRANGE") }

func (c *RedisCluster) slots(command string) {
	c.tb.Helper()
	for i := range c.masters {
		c.Nodes[i].Do("CLUSTER", command, i*slots/c.masters, (i+1)*slots/c.masters-1)
	}
}

// Move moves a key's slot, with all its keys, to another master, as redis-cli does. While half is called, the keys have
// left and the slot has not.
func (c *RedisCluster) Move(key string, to *Redis, half func()) {
	c.tb.Helper()
	from := c.Master(key)
	if from == nil || from == to {
		c.tb.Fatalf("the slot of %s cannot be moved from %v", key, from)
	}
	slot := from.Do("CLUSTER", "KEYSLOT", key)
	source, target := c.ids[slices.Index(c.Nodes, from)], c.ids[slices.Index(c.Nodes, to)]
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	for {
		keys := from.Do("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do(slices.Concat([]any{"MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS"}, keys)...)
	}
	if half != nil {
		half()
	}
	to.Do("CLUSTER", "SETSLOT", slot, "NODE", target)
	from.Do("CLUSTER", "SETSLOT", slot, "NODE", target)
	c.AwaitMasterOtherThan(key, from)
}

// Failover has a replica of a key's master take over, as an operator does. Masters vote for one of the same master's
// replicas only once in a while, so it may take several attempts.
func (c *RedisCluster) Failover(key string) {
	c.tb.Helper()
	old := c.Master(key)
	replica := c.Replica(old)
	var asked time.Time
	EventuallyIn(c.tb, "a replica takes over", 60*time.Second, func() bool {
		if time.Since(asked) > 6*time.Second { // an attempt is given up after 5 s
			asked = time.Now()
			replica.Do("CLUSTER", "FAILOVER")
		}
		promoted := c.Master(key)
		return promoted != nil && promoted != old
	})
}

// Replica is one that follows a master.
func (c *RedisCluster) Replica(of *Redis) *Redis {
	c.tb.Helper()
	port := of.port
	if c.tls != nil {
		port = c.tls[slices.Index(c.Nodes, of)]
	}
	for _, n := range c.Nodes {
		if c.info(n, "INFO", "replication")["master_port"] == strconv.Itoa(port) {
			return n
		}
	}
	c.tb.Fatalf("no replica follows %s", of.Addr())
	return nil
}
