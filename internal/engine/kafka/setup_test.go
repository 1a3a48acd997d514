package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const device = "356307042441013"

func quorum(o *Options) { o.Durability = Quorum }

// wantRefused makes sure that nothing is stored, and that whoever asks is told why and what to do.
func wantRefused(t *testing.T, e *Engine, remedy string) {
	t.Helper()
	_, inspected := e.Inspect(t.Context())
	_, probed := e.Probe(t.Context())
	b := enginetest.NewBatch(device, 0, 1)
	stored := e.Store(t.Context(), e.Lane(device), b)
	for who, err := range map[string]error{"inspect": inspected, "probe": probed, "store": stored} {
		if !errors.Is(err, engine.ErrDurability) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s does not say %q: %v", who, remedy, err)
		}
	}
	if engine.IsTransient(stored) || engine.IsAmbiguous(stored) {
		t.Errorf("the frame waits for somebody who changes a topic: %v", stored)
	}
}

func TestTopicsThatPromiseTooLittle(t *testing.T) {
	for name, c := range map[string]struct {
		topic  func(t *testing.T) string
		change []func(*Options)
		remedy string
	}{
		"one replica": {func(t *testing.T) string { return newTopics(t, broker, 2, 1) }, []func(*Options){quorum},
			"--replication-factor 3 --config min.insync.replicas=2"},
		"no topic": {func(*testing.T) string { return "nowhere" }, []func(*Options){quorum},
			"kafka-topics.sh --bootstrap-server " + broker.Addrs()[0] + " --create --topic nowhere --partitions 12"},
		"no topic, one node": {func(*testing.T) string { return "nowhere" }, nil, "KAFKA_CREATE_TOPICS=true"},
		"records compacted": {func(t *testing.T) string {
			return newTopics(t, broker, 1, 1, "cleanup.policy", "compact,delete")
		}, nil, "--add-config cleanup.policy=delete"},
		"dead letters not compacted": {func(t *testing.T) string {
			name := newTopics(t, broker, 1, 1)
			alter(t, broker, name+".dead", "cleanup.policy", "delete")
			return name
		}, nil, "--add-config cleanup.policy=compact"},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, broker.Addrs(), c.topic(t), c.change...)
			defer e.Close()
			wantRefused(t, e, c.remedy)
		})
	}
}

func alter(t testing.TB, on *testkit.Kafka, topic, setting, value string) {
	t.Helper()
	change := []kadm.AlterConfig{{Name: setting, Value: &value}}
	if r, err := on.Admin.AlterTopicConfigs(t.Context(), change, topic); err != nil || r[0].Err != nil {
		t.Fatalf("alter %s: %v, %v", topic, err, r)
	}
}

// TestTopicThatIsMendedNeedsNoRestart: the engine is made before its topics are.
func TestTopicThatIsMendedNeedsNoRestart(t *testing.T) {
	const topic = "later"
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	wantRefused(t, e, "there is no topic later")
	makeTopics(t, broker, topic, 3, 1)
	testkit.Succeeds(t, "a probe", testkit.Timeout, func() error { _, err := e.Probe(t.Context()); return err })
	b := enginetest.NewBatch(device, 0, 3)
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, topic)); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

// TestTopicIsMissingForAWhile: its absence is noticed before it is made anew.
func TestTopicIsMissingForAWhile(t *testing.T) {
	topic := newTopics(t, broker, 3, 1)
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	if err := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Admin.DeleteTopics(t.Context(), topic, topic+".dead", topic+".messages"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a probe that misses the topic", func() bool {
		_, err := e.Probe(t.Context())
		return errors.Is(err, engine.ErrDurability)
	})
	makeTopics(t, broker, topic, 3, 1)
	testkit.Succeeds(t, "a probe", testkit.Timeout, func() error { _, err := e.Probe(t.Context()); return err })
	if err := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 3, 3)); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, topic)); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

// TestProbeBehindAnother: whoever waits for a broker that hangs makes nobody else wait for longer than they want to.
func TestProbeBehindAnother(t *testing.T) {
	e := open(t, broker.RelayAddrs(), newTopics(t, broker, 1, 1))
	defer e.Close()
	broker.Relay(0).Hang()
	defer broker.Relay(0).Resume()
	patient, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _, _ = e.Inspect(patient) }()
	defer func() { stop(); <-done }()
	testkit.Eventually(t, "somebody to ask", func() bool { return len(e.asking) > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := e.Probe(ctx); !engine.IsTransient(err) {
		t.Errorf("the probe: %v", err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the probe took %v", took)
	}
}

func TestTopicsAreCreated(t *testing.T) {
	e := open(t, broker.Addrs(), "made", func(o *Options) { o.CreateTopics, o.DeadMaxBytes = true, 12<<20 })
	defer e.Close()
	if err := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 0, 3)); err != nil {
		t.Fatal(err)
	}
	d, err := e.Inspect(t.Context())
	if err != nil || d.Class != engine.MemoryOnly {
		t.Errorf("%+v, %v", d, err)
	}
	facts := map[string]string{}
	for _, f := range d.Facts {
		facts[f.Name] = f.Value
	}
	for name, want := range map[string]string{
		"made": "12 partitions, 1 replicas", "made.dead": "12 partitions, 1 replicas",
		"made.messages":            "12 partitions, 1 replicas",
		"made.dead cleanup.policy": "compact,delete", "made.dead retention.bytes": "1048576", "made.dead retention.ms": "-1",
		"made cleanup.policy": "delete",
	} {
		if facts[name] != want {
			t.Errorf("%s is %q, want %q", name, facts[name], want)
		}
	}
	if e.Lanes() != 12 {
		t.Errorf("%d lanes, want 12", e.Lanes())
	}
}

// TestWarnings: each with the command that cures it.
func TestWarnings(t *testing.T) {
	topic := newTopics(t, broker, 1, 1, "max.message.bytes", "100000", "unclean.leader.election.enable", "true")
	e := open(t, broker.Addrs(), topic, func(o *Options) { o.LargestFrame, o.SASL.Mechanism = 65536, "" })
	defer e.Close()
	d, err := e.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(d.Warnings, "\n")
	for _, want := range []string{
		"one replica", "--add-config max.message.bytes=589824", "--add-config unclean.leader.election.enable=false",
		"topic " + topic + ".dead: nothing bounds its bytes",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning has %q:\n%s", want, all)
		}
	}
}
