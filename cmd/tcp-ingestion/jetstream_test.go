package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// jetStreamStore starts so many nats-servers; each stream has a copy on every one of them.
func jetStreamStore(t testing.TB, servers, shards int, lines ...string) (store, *testkit.NATS) {
	n := testkit.StartNATS(t, servers, lines...)
	s := store{
		name: "jetstream",
		settings: map[string]string{
			"ENGINE": "jetstream", "NATS_URL": n.URL(), "JETSTREAM_SHARDS": fmt.Sprint(shards),
			"JETSTREAM_CREATE": "true", "DATA_DIR": t.TempDir(),
		},
		payloads: func(testing.TB) []string { return natsPayloads(n, shards) },
		messages: func(testing.TB) []string { return natsMessages(n, shards) },
	}
	if servers == 1 {
		s.settings["JETSTREAM_DURABILITY"] = "leader"
	}
	return s, n
}

// oneNATS is one server, as an engine among others.
func oneNATS(t testing.TB) store {
	s, _ := jetStreamStore(t, 1, 1)
	return s
}

func natsPayloads(n *testkit.NATS, shards int) (payloads []string) {
	for shard := range shards {
		for _, m := range n.Messages(fmt.Sprint("TELEMETRY_", shard), fmt.Sprintf("telemetry.teltonika.%d.*", shard)) {
			payloads = append(payloads, string(m.Data()))
		}
	}
	return payloads
}

func natsMessages(n *testkit.NATS, shards int) (messages []string) {
	for shard := range shards {
		subjects := fmt.Sprintf("telemetry.teltonika.messages.%d.*", shard)
		for _, m := range n.Messages(fmt.Sprint("TELEMETRY_MESSAGES_", shard), subjects) {
			imei := m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:]
			messages = append(messages, imei+"-"+string(m.Data()))
		}
	}
	return messages
}

// wantOrder fails for every record that is stored before one of its device that was acknowledged earlier.
func (s store) wantOrder(t testing.TB, acknowledged []string) {
	t.Helper()
	place, last, displaced := map[string]int{}, map[string]int{}, 0
	for i, payload := range s.payloads(t) {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(payload), &r); err != nil {
			t.Fatalf("payload %s: %v", payload, err)
		}
		if _, known := place[r.ID]; !known {
			place[r.ID] = i
		}
	}
	for _, id := range acknowledged {
		imei, _, _ := strings.Cut(id, "-")
		at, stored := place[id]
		if stored && at < last[imei] {
			displaced++
		}
		last[imei] = max(last[imei], at)
	}
	if displaced > 0 {
		t.Errorf("%d records are out of order", displaced)
	}
}

// clusterFault is something that happens to a cluster, and is over when it returns.
type clusterFault struct {
	name string
	do   func(t *testing.T, n *testkit.NATS, s *server)
}

// status is what /readyz answers.
func (s *server) status() int {
	status, _ := s.get("/readyz")
	return status
}

// stream is the one whose leader the faults are about.
const stream = "TELEMETRY_0"

// clusterFaults take from seconds to half a minute. The first one is part of every run of the tests.
var clusterFaults = []clusterFault{
	{"kill -9 of the leader", func(_ *testing.T, n *testkit.NATS, _ *server) {
		leader := n.Leader(stream)
		n.Kill(leader)
		n.Leader(stream)
		n.Restart(leader)
	}},
	{"kill -9 of a follower", func(_ *testing.T, n *testkit.NATS, _ *server) {
		follower := (n.Leader(stream) + 1) % 3
		n.Kill(follower)
		time.Sleep(2 * time.Second) // for which it is away
		n.Restart(follower)
	}},
	{"the leader frozen for longer than an election", func(_ *testing.T, n *testkit.NATS, _ *server) {
		leader := n.Leader(stream)
		n.Freeze(leader)
		time.Sleep(15 * time.Second) // for which it is frozen
		n.Thaw(leader)
	}},
	{"rolling restart", func(_ *testing.T, n *testkit.NATS, _ *server) {
		for i := range 3 {
			n.Restart(i)
			n.Leader(stream)
			time.Sleep(3 * time.Second) // as whoever does it waits between two
		}
	}},
	{"two of three dead for 10 s", func(t *testing.T, n *testkit.NATS, s *server) {
		n.Kill(0)
		n.Kill(1)
		dead := time.Now()
		testkit.EventuallyIn(t, "not ready", readySoon, func() bool { return s.status() != http.StatusOK })
		time.Sleep(10*time.Second - time.Since(dead)) // for which they are dead
		n.Restart(0)
		n.Restart(1)
		cured := time.Now()
		testkit.EventuallyIn(t, "ready again", 20*time.Second, func() bool { return s.status() == http.StatusOK })
		t.Logf("ready again %v after the cure", time.Since(cured).Round(100*time.Millisecond))
	}},
}

// TestKillJetStream does to a cluster under load what happens to clusters. The server stays up; nothing acknowledged is
// lost, nothing is stored twice, each device's records are in order, and ACKs come soon after the cure.
func TestKillJetStream(t *testing.T) {
	t.Parallel()
	faults := clusterFaults[:1]
	if os.Getenv("CRASH_TIME") != "" {
		faults = clusterFaults
	}
	store, n := jetStreamStore(t, 3, 1)
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 40, chatty)
	for _, fault := range faults {
		f.awaitProgress(t, 1000)
		stall := f.longestStall(t, func() {
			fault.do(t, n, s)
			cured := time.Now()
			f.awaitProgress(t, 1000)
			wantSoon(t, fault.name, cured)
		})
		t.Logf("%s: at most %v without an ACK", fault.name, stall.Round(100*time.Millisecond))
	}
	f.endWith(t, s)
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
	store.wantMessages(t, f.messages())
}

// longestStall is the longest time without an ACK while something happens.
func (f *fleet) longestStall(t testing.TB, during func()) (longest time.Duration) {
	t.Helper()
	over, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		count, since := f.count(), time.Now()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-over:
				tick.Stop()
				result <- longest
				return
			}
			if now := f.count(); now != count {
				count, since = now, time.Now()
			}
			longest = max(longest, time.Since(since))
		}
	}()
	during()
	close(over)
	return <-result
}

// TestKillServerOnJetStream is TestKillServer on one nats-server.
func TestKillServerOnJetStream(t *testing.T) {
	t.Parallel()
	store := oneNATS(t)
	f := store.killServer(t, 40, crashTimeOr(t, 4*time.Second))
	store.wantAll(t, f.acknowledged(), true)
	store.wantMessages(t, f.messages())
}

// TestShardWithoutLeader kills the one server that has a shard. The devices of the others go on, and the process gets
// new ones; those of the shard are answered when it is back, which may be with the beginning of a batch alone.
func TestShardWithoutLeader(t *testing.T) {
	t.Parallel()
	const shards = 3
	store, n := jetStreamStore(t, shards, shards)
	store.settings["JETSTREAM_DURABILITY"] = "leader"
	store.settings["PUBLISH_QUEUE_CAPACITY"] = "900"
	for shard := range shards {
		makeShardOn(t, n, shard, shards)
	}
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 60, moderate)
	f.awaitProgress(t, 1000)

	n.Kill(shards - 1) // the first one has the connection of the tests
	testkit.EventuallyIn(t, "a shard is missed", patience, func() bool {
		return s.metric("telemetry_shards_unavailable") == 1
	})
	for range 5 {
		f.awaitProgress(t, 1000)
		if status, body := s.get("/readyz"); status != http.StatusOK || !strings.Contains(body, "TELEMETRY_") {
			t.Errorf("/readyz %d while two of three shards store: %s", status, body)
		}
	}
	n.Restart(shards - 1)
	testkit.EventuallyIn(t, "all shards store", patience, func() bool {
		return s.metric("telemetry_shards_unavailable") == 0
	})
	f.awaitProgress(t, 1000)
	f.end(t)
	s.wantBalance()
	store.wantAll(t, f.acknowledged(), false)
	store.wantOrder(t, f.acknowledged())
}

// TestFullJetStream has a stream that refuses what does not fit. Nothing is acknowledged, readiness says so and
// recovers when there is room.
func TestFullJetStream(t *testing.T) {
	t.Parallel()
	store, n := jetStreamStore(t, 1, 1)
	store.settings["PUBLISH_TIMEOUT"] = "2s"
	s := startServer(t, store.settings)
	ready := func(want int) func() bool { return func() bool { return s.status() == want } }
	testkit.EventuallyIn(t, "ready", patience, ready(http.StatusOK))
	resize := func(bytes int64) {
		t.Helper()
		known, err := n.JetStream().Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		c := known.CachedInfo().Config
		c.Discard, c.MaxBytes = jetstream.DiscardNew, bytes
		if _, err := n.JetStream().UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	resize(1 << 20)
	f := startFleet(t, s.devices, 20, func(o *simulate.Options) {
		moderate(o)
		o.ResponseTimeout = 3 * time.Second
	})
	testkit.EventuallyIn(t, "not ready, with the reason", patience, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "maximum bytes exceeded")
	})
	full := f.settled(t)
	if n := f.count(); n != full {
		t.Errorf("%d records acknowledged by a full stream", n-full)
	}
	resize(1 << 30)
	testkit.EventuallyIn(t, "ready again", readySoon, ready(http.StatusOK))
	f.awaitProgress(t, 1000)
	f.end(t)
	s.wantBalance()
	store.wantAll(t, f.acknowledged(), false)
}

// makeShardOn makes a shard's streams on the server of its number only.
func makeShardOn(t testing.TB, n *testkit.NATS, shard, shards int) {
	t.Helper()
	for _, kind := range []struct{ name, subject string }{{"", ""}, {"DEAD_", "dead."}, {"MESSAGES_", "messages."}} {
		n.CreateStream(jetstream.StreamConfig{
			Name: fmt.Sprintf("TELEMETRY_%s%d", kind.name, shard),
			Subjects: []string{
				fmt.Sprintf("telemetry.teltonika.%s%d.*", kind.subject, shard),
				fmt.Sprintf("telemetry.teltonika.%sfence.%d.*", kind.subject, shard),
			},
			AllowAtomicPublish: true, AllowDirect: true,
			Metadata:  map[string]string{"telemetry.shards": fmt.Sprint(shards)},
			Placement: &jetstream.Placement{Tags: []string{fmt.Sprint("node", shard)}},
		})
	}
}
