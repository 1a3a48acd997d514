package kafka

import (
	"strconv"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// single is a fleet whose topic of records has one replica: while a node is down, the partitions that only it has have
// no leader. Their devices wait, and nobody else.
type single struct {
	e     *Engine
	fleet *fleet
	down  map[int32]bool // partitions of the node
}

func startSingle(t *testing.T, k *testkit.Kafka, node int) *single {
	t.Helper()
	topic := newTopics(t, k, 12, 3, "min.insync.replicas", "1")
	if _, err := k.Admin.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	testkit.Succeeds(t, "a topic of one replica", testkit.Timeout, func() error {
		_, err := k.Admin.CreateTopic(t.Context(), 12, 1, nil, topic)
		return err
	})
	s := &single{down: map[int32]bool{}}
	testkit.Eventually(t, "leaders", func() bool {
		clear(s.down)
		all, err := k.Admin.ListTopics(t.Context(), topic)
		for _, p := range all[topic].Partitions {
			s.down[p.Partition] = p.Leader == int32(node)
			if p.Leader < 0 || len(p.Replicas) != 1 {
				return false
			}
		}
		return err == nil && len(s.down) == 12
	})
	testkit.Eventually(t, "all nodes to know the topic", func() bool {
		s.e = open(t, k.Addrs(), topic)
		if s.e.Lanes() == 12 {
			return true
		}
		_ = s.e.Close() // a node that did not know it yet had been asked, and the lanes were guessed
		return false
	})
	t.Cleanup(func() { _ = s.e.Close() })
	testkit.Succeeds(t, "a probe", testkit.Timeout, func() error { _, err := s.e.Probe(t.Context()); return err })
	s.fleet = startFleet(t, s.e, k)
	s.fleet.awaitAll(t, time.Now(), testkit.Timeout)
	return s
}

// waits reports whether the device's partition is one of the node's.
func (s *single) waits(d int) bool { return s.down[partitionOf(deviceName(d), 12)] }

// othersGoOn wants ACKs for the devices of other partitions, and a probe that knows which shards do not store.
func (s *single) othersGoOn(t *testing.T, since time.Time) {
	t.Helper()
	testkit.Eventually(t, "a probe that knows the partitions without a leader", func() bool {
		status, err := s.e.Probe(t.Context())
		if err != nil {
			t.Fatalf("the engine stores nothing at all: %v", err)
		}
		for _, shard := range status.Shards {
			n, _ := strconv.Atoi(shard.Name)
			if s.down[int32(n)] != (shard.Err != nil) {
				return false
			}
		}
		return true
	})
	t.Logf("the probe knows the partitions without a leader %v after the fault",
		time.Since(since).Round(100*time.Millisecond))
	s.fleet.await(t, time.Now(), testkit.Timeout, func(d int) bool { return !s.waits(d) })
	if err := s.fleet.publisher.Err(); err != nil {
		t.Errorf("the publisher counts as failing: %v", err)
	}
	for d := range s.fleet.lastACK {
		if last := time.Unix(0, s.fleet.lastACK[d].Load()); s.waits(d) && time.Since(last) < time.Second {
			t.Errorf("%s has an ACK, and its partition no leader", deviceName(d))
		}
	}
}

// recovers wants ACKs for everybody once the node is back.
func (s *single) recovers(t *testing.T) {
	t.Helper()
	s.fleet.awaitAll(t, time.Now(), testkit.Timeout)
	s.fleet.settle(t)
}
