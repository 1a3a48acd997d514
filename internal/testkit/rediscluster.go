//go:build linux

package testkit

import (
	"strconv"
	"testing"
)

// slots is how many parts the keys of a Redis Cluster are in.
const slots = 16384

// StartRedisCluster starts a Redis Cluster of so many masters with an equal share of the slots each, and waits until
// each of them knows the others.
func StartRedisCluster(tb testing.TB, masters int) []*Redis {
	tb.Helper()
	var nodes []*Redis
	for i := range masters {
		bus := strconv.Itoa(FreePort(tb)) // by default it is the port and 10000, which need not be a port
		n := StartRedis(tb, "--cluster-enabled", "yes", "--cluster-port", bus)
		n.Do("CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		if i > 0 {
			nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", n.port, bus)
		}
		nodes = append(nodes, n)
	}
	Eventually(tb, "the cluster is whole", func() bool {
		for _, n := range nodes {
			if parseInfo(n.Do("CLUSTER", "INFO").(string))["cluster_state"] != "ok" {
				return false
			}
		}
		return true
	})
	return nodes
}
