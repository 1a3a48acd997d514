package kafka

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// threeNodes are brokers with topics of three replicas, of which two have to be in sync. Faults that take long are for
// `make crash`, which sets CRASH_TIME.
func threeNodes(t *testing.T) *testkit.Kafka {
	t.Helper()
	k, err := testkit.StartKafka(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.Said())
		}
	})
	return k
}

func long() bool { return os.Getenv("CRASH_TIME") != "" }

// leaderOf is the node that leads most partitions of the topic, or the given one.
func leaderOf(t *testing.T, k *testkit.Kafka, topic string) int {
	t.Helper()
	led := map[int32]int{}
	all, err := k.Admin.ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	most := int32(0)
	for _, p := range all[topic].Partitions {
		if led[p.Leader]++; led[p.Leader] > led[most] {
			most = p.Leader
		}
	}
	return int(most)
}

// fault is done to the nodes while a fleet sends, and cured again at the end.
type fault struct {
	name  string
	do    func(t *testing.T, k *testkit.Kafka, leader int)
	cure  func(t *testing.T, k *testkit.Kafka, leader int) // nil: it is cured at once
	while time.Duration                                    // from do to cure
	// stalls: until the cure some devices are not acknowledged, so waiting begins there.
	stalls bool
	// leaderless: beside it are topics of one replica, of which some partitions have no leader then. For `make crash`.
	leaderless bool
}

var faults = []fault{
	{name: "leader killed", leaderless: long(), cure: start,
		do: func(_ *testing.T, k *testkit.Kafka, leader int) { k.Kill(leader) }},
	{name: "follower killed", do: func(_ *testing.T, k *testkit.Kafka, leader int) { k.Kill((leader + 1) % 3) },
		cure: func(t *testing.T, k *testkit.Kafka, leader int) { start(t, k, (leader+1)%3) }},
	{name: "leader frozen for longer than an election", while: 20 * time.Second,
		do:   func(_ *testing.T, k *testkit.Kafka, leader int) { k.Freeze(leader) },
		cure: func(_ *testing.T, k *testkit.Kafka, leader int) { k.Thaw(leader) }},
	{name: "rolling restart", do: func(t *testing.T, k *testkit.Kafka, _ int) {
		for node := range 3 {
			k.Stop(node)
			start(t, k, node)
			awaitInSync(t, k)
		}
	}},
	{name: "two of three dead", while: 10 * time.Second, stalls: true,
		do: func(_ *testing.T, k *testkit.Kafka, leader int) { k.Kill(leader); k.Kill((leader + 1) % 3) },
		cure: func(t *testing.T, k *testkit.Kafka, leader int) {
			for _, node := range []int{leader, (leader + 1) % 3} {
				if err := k.Start(node); err != nil {
					t.Fatal(err)
				}
			}
			if err := k.Await(3); err != nil {
				t.Fatal(err)
			}
		}},
}

func start(t *testing.T, k *testkit.Kafka, node int) {
	t.Helper()
	if err := k.Start(node); err != nil {
		t.Fatal(err)
	}
	if err := k.Await(3); err != nil {
		t.Fatal(err)
	}
}

// awaitInSync waits until every partition has all its replicas again.
func awaitInSync(t *testing.T, k *testkit.Kafka) {
	t.Helper()
	testkit.EventuallyIn(t, "all replicas in sync", 2*time.Minute, func() bool {
		if err := k.Err(); err != nil {
			t.Fatal(err)
		}
		all, err := k.Admin.ListTopics(t.Context())
		if err != nil {
			return false
		}
		for _, topic := range all {
			for _, p := range topic.Partitions {
				if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
					return false
				}
			}
		}
		return true
	})
}

// TestKillBrokers does each fault to the same three nodes, each time with topics, an engine and a fleet of its own.
func TestKillBrokers(t *testing.T) {
	k := threeNodes(t)
	t.Run("min.insync.replicas 1", func(t *testing.T) {
		e := open(t, k.Addrs(), newTopics(t, k, 1, 3, "min.insync.replicas", "1"), quorum)
		defer e.Close()
		wantRefused(t, e, "--add-config min.insync.replicas=2")
	})
	if !long() {
		faults = faults[:1]
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { f.run(t, k) })
	}
}

func (f fault) run(t *testing.T, k *testkit.Kafka) {
	awaitInSync(t, k)
	topic := newTopics(t, k, 12, 3, "min.insync.replicas", "2")
	e := open(t, k.Addrs(), topic, quorum)
	defer e.Close()
	testkit.Succeeds(t, "topics that all brokers know", testkit.Timeout, func() error {
		d, err := e.Inspect(t.Context())
		if err == nil && d.Class != engine.Replicated {
			t.Fatalf("the class is %q", d.Class)
		}
		return err
	})
	fleet := startFleet(t, e, k)
	fleet.awaitAll(t, time.Now(), testkit.Timeout)
	leader := leaderOf(t, k, topic)
	var alone *single
	if f.leaderless {
		alone = startSingle(t, k, leader)
	}

	begin := time.Now()
	f.do(t, k, leader)
	if f.leaderless {
		alone.othersGoOn(t, begin)
	}
	const recovery = 45 * time.Second
	if !f.stalls {
		t.Logf("every device has an ACK %v after the fault", fleet.awaitAll(t, begin, recovery).Round(100*time.Millisecond))
	}
	if left := f.while - time.Since(begin); left > 0 {
		time.Sleep(left) // the fault's own time, no wait for a condition
	}
	if f.cure != nil {
		cured := time.Now()
		f.cure(t, k, leader)
		t.Logf("every device has an ACK %v after the cure", fleet.awaitAll(t, cured, recovery).Round(100*time.Millisecond))
	}
	fleet.settle(t)
	if f.leaderless {
		alone.recovers(t)
	}
}

// TestTailWaitsForBrokers that are away when it begins.
func TestTailWaitsForBrokers(t *testing.T) {
	topic := newTopics(t, broker, 1, 1)
	stored := open(t, broker.Addrs(), topic)
	defer stored.Close()
	b := enginetest.NewBatch(device, 0, 1)
	if err := stored.Store(t.Context(), stored.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	broker.Relay(0).Cut()
	log := testkit.NewLog(t)
	e := open(t, broker.RelayAddrs(), topic, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	defer e.Close()
	shown := make(chan error, 1)
	ended := errors.New("enough")
	go func() { shown <- e.Tail(t.Context(), true, func([]byte) error { return ended }) }()
	testkit.Eventually(t, "a word about the brokers", func() bool {
		return strings.Contains(log.String(), "cannot be read")
	})
	if err := broker.Relay(0).Join(); err != nil {
		t.Fatal(err)
	}
	if err := <-shown; err != ended {
		t.Errorf("tail: %v", err)
	}
}
