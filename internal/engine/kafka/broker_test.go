package kafka

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestBrokers are faults of the network and of single brokers under a fleet. Those that take long are for `make crash`.
func TestBrokers(t *testing.T) {
	for i, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"answers lost", answersLost}, {"too few in sync", tooFewInSync}, {"disk full", diskFull},
		{"partition lost", partitionLost},
	} {
		if i == 0 || long() {
			t.Run(c.name, c.run)
		}
	}
}

// answersLost cuts the connections when the broker has stored what it has been sent, and its answers are on their way.
func answersLost(t *testing.T) {
	topic := newTopics(t, broker, 12, 1)
	e := open(t, broker.RelayAddrs(), topic)
	defer e.Close()
	fleet := startFleet(t, e, broker)
	defer broker.Relay(0).Resume() // also after a failure: others use it
	for range 5 {
		fleet.awaitAll(t, time.Now(), testkit.Timeout)
		end := func() (n int64) {
			ends, err := broker.Admin.ListEndOffsets(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range ends[topic] {
				n += o.Offset
			}
			return n
		}
		broker.Relay(0).Hang()
		acked := fleet.total()
		testkit.Eventually(t, "records that are stored and not acknowledged", func() bool {
			return end() > acked+frameRecords // more need not be on its way
		})
		broker.Relay(0).Drop()
	}
	fleet.awaitAll(t, time.Now(), testkit.Timeout)
	fleet.settle(t)
}

// wantAway wants a probe that fails within twice the time in which /readyz has to, and no ACK from then on.
func wantAway(t *testing.T, e *Engine, f *fleet, within time.Duration) {
	t.Helper()
	begin := time.Now()
	testkit.EventuallyIn(t, "a probe that fails", within, func() bool { return !wouldStore(e) })
	t.Logf("the probe fails after %v", time.Since(begin).Round(100*time.Millisecond))
	testkit.EventuallyIn(t, "no ACK for a second", within, func() bool {
		for d := range f.lastACK {
			if time.Since(time.Unix(0, f.lastACK[d].Load())) < time.Second {
				return false
			}
		}
		return true
	})
}

func wouldStore(e *Engine) bool {
	_, err := e.Probe(context.Background())
	return err == nil
}

func wantBack(t *testing.T, e *Engine, f *fleet) {
	t.Helper()
	begin := time.Now()
	testkit.EventuallyIn(t, "a good probe", testkit.Timeout, func() bool { return wouldStore(e) })
	f.awaitAll(t, begin, testkit.Timeout)
	t.Logf("every device has an ACK %v after the cure", time.Since(begin).Round(100*time.Millisecond))
	f.settle(t)
}

// tooFewInSync: all three replicas are wanted, and one broker is gone.
func tooFewInSync(t *testing.T) {
	k := threeNodes(t)
	awaitInSync(t, k)
	e := open(t, k.Addrs(), newTopics(t, k, 12, 3, "min.insync.replicas", "3"), quorum)
	defer e.Close()
	fleet := startFleet(t, e, k)
	fleet.awaitAll(t, time.Now(), testkit.Timeout)
	k.Kill(2)
	wantAway(t, e, fleet, 40*time.Second) // the cluster itself takes 6 s to notice
	start(t, k, 2)
	awaitInSync(t, k)
	wantBack(t, e, fleet)
}

// diskFull fills the disk of a broker, which ends itself then. Room and a start cure it.
func diskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200m"); err != nil {
		t.Fatalf("a small disk needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	t.Setenv("TMPDIR", disk)
	k, err := testkit.StartKafka(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	e := open(t, k.Addrs(), newTopics(t, k, 12, 1), func(o *Options) { o.Compression = "none" })
	defer e.Close()
	fleet := startFleet(t, e, k)
	fleet.awaitAll(t, time.Now(), testkit.Timeout)

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	testkit.EventuallyIn(t, "the broker to end", time.Minute, func() bool { return k.Ended(0) })
	wantAway(t, e, fleet, 20*time.Second)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := k.Start(0); err != nil {
		t.Fatal(err)
	}
	if err := k.Await(1); err != nil {
		t.Fatal(err)
	}
	wantBack(t, e, fleet)
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// partitionLost has the broker come back without what it had acknowledged. Whoever remembers it has to hear of that,
// although something has been stored since.
func partitionLost(t *testing.T) {
	topic := newTopics(t, broker, 1, 1)
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	store := func(b *engine.Batch) *engine.Batch {
		t.Helper()
		testkit.Succeeds(t, "to store", testkit.Timeout, func() error {
			clear(b.Results)
			return e.Store(t.Context(), 0, b)
		})
		return b
	}
	ask := func() uint64 {
		t.Helper()
		return store(&engine.Batch{Known: [engine.Kinds]bool{true}}).Epochs[engine.KindRecord]
	}
	store(enginetest.NewBatch(device, 0, 50))
	before := ask()
	broker.Kill(0)
	if err := os.RemoveAll(filepath.Join(broker.Data(0), topic+"-0")); err != nil {
		t.Fatal(err)
	}
	if err := broker.Start(0); err != nil {
		t.Fatal(err)
	}
	if err := broker.Await(1); err != nil {
		t.Fatal(err)
	}
	store(enginetest.NewBatch(device, 50, 10))
	if after := ask(); after == before {
		t.Error("the loss is not noticed")
	}
}
