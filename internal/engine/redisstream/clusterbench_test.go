package redisstream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkCluster stores in eight shards of a cluster of three masters and three replicas, where each batch waits for
// a replica, in turns with the least that any client can do there, and with Store on one Redis that waits for nobody.
// The nodes' processor time is that of all six.
func BenchmarkCluster(b *testing.B) {
	const shards, size, perLane = 8, 500, 10
	c := testkit.StartRedisCluster(b, 3, 1, never)
	one := testkit.StartRedis(b)
	e := use(b, nil, Options{URL: c.URL(), Shards: shards, Durability: oneReplica})
	single := use(b, one, Options{Lanes: shards})
	var ours, bare, alone [shards]func() error
	for i := range shards {
		batch := enginetest.NewBatch(deviceOfShard(i, shards), 0, size)
		batch.ID = 0 // it is another one each time
		ours[i] = func() error { return e.Store(context.Background(), i, batch) }
		alone[i] = func() error { return single.Store(context.Background(), i, batch) }
		bare[i] = bareCluster(b, c.Master(shardStream(i)), e.shards[i].words, batch)
	}
	turn := func(stores []func() error) (u usage) {
		before := nodesTime(b, c)
		u = run(b, one, perLane, stores)
		u.redis += nodesTime(b, c) - before
		return u
	}
	turn(ours[:]) // connects
	turn(alone[:])
	var usages [3]usage
	for b.Loop() {
		for i, stores := range [][]func() error{ours[:], bare[:], alone[:]} {
			usages[i].add(turn(stores))
		}
		for i := range shards {
			c.Master(shardStream(i)).Do("DEL", shardStream(i))
		}
		one.Do("DEL", testStream)
	}
	records := float64(b.N * perLane * shards * size)
	b.ReportMetric(records/usages[0].wall.Seconds(), "records/s")
	b.ReportMetric(micros(usages[0].self)/records, "µs-cpu/record")
	b.ReportMetric(micros(usages[0].redis)/records, "µs-nodes-cpu/record")
	b.ReportMetric(usages[1].wall.Seconds()/usages[0].wall.Seconds(), "×bare-rate")
	b.ReportMetric(usages[2].wall.Seconds()/usages[0].wall.Seconds(), "×one-redis-rate")
	b.ReportMetric(float64(usages[0].self)/float64(usages[2].self), "×one-redis-cpu")
	b.ReportMetric(0, "ns/op")
}

func deviceOfShard(shard, shards int) string {
	for n := 0; ; n++ {
		if device := fmt.Sprintf("35630704%07d", n); engine.ShardOf(device, shards) == shard {
			return device
		}
	}
}

func nodesTime(b *testing.B, c *testkit.RedisCluster) (sum time.Duration) {
	for _, n := range c.Nodes {
		sum += processorTime(b, n.PID())
	}
	return sum
}

// bareCluster writes the batch, encoded beforehand, and a WAIT, and reads the answers without looking at them.
func bareCluster(b *testing.B, master *testkit.Redis, w words, batch *engine.Batch) func() error {
	conn, err := net.Dial("tcp", master.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReaderSize(conn, replyBuffer)
	var out []byte
	for i := range batch.Records {
		out = w.appendRecord(out, &batch.Records[i])
	}
	out = appendCommand(out, "WAIT", "1", confirmMillis)
	return func() error {
		if _, err := conn.Write(out); err != nil {
			return err
		}
		for range 2*len(batch.Records) + 1 {
			if _, err := in.ReadSlice('\n'); err != nil {
				return err
			}
		}
		return nil
	}
}
