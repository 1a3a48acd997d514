package redisstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// A node of a cluster answers MOVED for some of the keys, which says nothing to whoever has set a plain URL.
func TestClusterIsNamed(t *testing.T) {
	t.Parallel()
	nodes := testkit.StartRedisCluster(t, 2, 0, never).Nodes
	const remedy = "node of a Redis Cluster"
	refused := 0
	for _, r := range nodes {
		e := use(t, r, Options{})
		b := enginetest.NewBatch(device, 0, 1)
		if err := e.Store(limited(t), 0, b); err != nil {
			t.Fatal(err)
		}
		if b.Results[0].Err != nil { // the other node has the records' slot
			wantFate(t, b.Results[0].Err, false, false, "MOVED")
			wantFate(t, b.Results[0].Err, false, false, remedy)
			refused++
		}
		_, err := e.Probe(limited(t)) // of three keys, no two in one slot, one at least is elsewhere
		wantFate(t, err, false, false, remedy)
		d, err := e.Inspect(limited(t))
		if err != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), remedy) {
			t.Errorf("inspect: %q, %v", d.Warnings, err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of two nodes have refused a record", refused)
	}
}

// clusterHarness is the suite's on a cluster whose replicas are never promoted.
func clusterHarness(t *testing.T, c *testkit.RedisCluster, shards int) enginetest.Harness {
	masters := c.Nodes[:3]
	each := func(do func(r *testkit.Redis)) func(*testing.T) {
		return func(*testing.T) {
			for _, r := range masters {
				do(r)
			}
		}
	}
	each(func(r *testkit.Redis) { r.Do("FLUSHALL") })(t)
	c.AwaitWhole(1)
	client := c.Client()
	t.Cleanup(func() { _ = client.Close() })
	all := func(suffix string) (entries [][]string) {
		for shard := range shards {
			entries = append(entries, clusterEntries(t, client, shardStream(shard)+suffix)...)
		}
		return entries
	}
	return enginetest.Harness{
		Open: func(t *testing.T) engine.Engine {
			return open(t, nil, Options{URL: c.URL(), Shards: shards, Durability: oneReplica})
		},
		Records:     func(t *testing.T) []enginetest.Stored { return toRecords(t, all("")) },
		DeadLetters: func(t *testing.T) []enginetest.StoredDead { return toDeadLetters(t, all(":dead")) },
		Messages:    func(t *testing.T) []engine.Message { return toMessages(t, all(":messages")) },
		Break:       each((*testkit.Redis).Kill),
		Heal:        func(t *testing.T) { each(func(r *testkit.Redis) { r.Restart() })(t); c.AwaitWhole(1) },
		Hang:        each((*testkit.Redis).Freeze),
		Resume:      each((*testkit.Redis).Thaw),
		Lose:        each(func(r *testkit.Redis) { r.Do("FLUSHALL") }),
		Inspector:   true, Tailer: true, DeadLetterStore: true, RecordReader: true, DeviceReader: true,
		Consumable: true,
	}
}

func shardStream(shard int) string { return fmt.Sprintf("%s:{%d}", testStream, shard) }

// clusterEntries reads a whole stream with a client of the test's own.
func clusterEntries(t testing.TB, client *redis.ClusterClient, stream string) [][]string {
	t.Helper()
	answer, err := client.Do(context.Background(), "XRANGE", stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return toEntries(answer)
}

// TestEngineOnCluster breaks the cluster in two ways: its masters are killed, or nobody serves the slots.
func TestEngineOnCluster(t *testing.T) {
	c := testkit.StartRedisCluster(t, 3, 1, never, durable...)
	t.Run("1 shard", func(t *testing.T) {
		enginetest.Run(t, func(t *testing.T) enginetest.Harness {
			h := clusterHarness(t, c, 1)
			h.Break, h.Heal = func(*testing.T) { c.Unserve() }, func(*testing.T) { c.Serve() }
			return h
		})
	})
	t.Run("8 shards", func(t *testing.T) {
		enginetest.Run(t, func(t *testing.T) enginetest.Harness { return clusterHarness(t, c, 8) })
	})
}

// useCluster opens an engine on a cluster and closes it when the test ends.
func useCluster(t testing.TB, c *testkit.RedisCluster, shards int) *Engine {
	t.Helper()
	return use(t, nil, Options{URL: c.URL(), Shards: shards, Durability: oneReplica})
}

// wantStored checks that the only shard's stream has just these batches' records, in this order.
func wantStored(t *testing.T, c *testkit.RedisCluster, batches ...*engine.Batch) {
	t.Helper()
	client := c.Client()
	defer func() { _ = client.Close() }()
	got := toRecords(t, clusterEntries(t, client, shardStream(0)))
	for _, b := range batches {
		for i := range b.Records {
			if len(got) == 0 || got[0].Payload != string(b.Records[i].Payload) {
				t.Fatalf("%d entries before the end, the next should be %s", len(got), b.Records[i].Payload)
			}
			got = got[1:]
		}
	}
	if len(got) != 0 {
		t.Errorf("%d entries too many", len(got))
	}
}

// A batch whose answer is lost with the master is looked for at the one that is elected, and stands there once.
func TestClusterFollowsAFrozenMaster(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 2, 2*time.Second)
	e := useCluster(t, c, 1)
	all := []*engine.Batch{mustStore(t, e, 0, 500)}
	master := c.Master(shardStream(0))
	master.Freeze()
	b := enginetest.NewBatch(device, 500, 500)
	done := make(chan struct{})
	go func() { defer close(done); storeUntilStored(t, e, b) }()
	c.AwaitMasterOtherThan(shardStream(0), master)
	<-done
	all = append(all, b)
	master.Thaw()
	for n := range 20 { // while the old one finds out that it is none any more
		b := enginetest.NewBatch(device, 1000+10*n, 10)
		storeUntilStored(t, e, b)
		all = append(all, b)
	}
	c.AwaitWhole(2)
	wantStored(t, c, all...)
}

// A slot moves there and back under load. Every batch stands in its stream once, in order, and the engine's epoch
// stays: nothing was lost. While the keys have left and the slot has not, the shard waits, and says what for.
func TestClusterSlotMovesUnderLoad(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1, 10*time.Second)
	e := useCluster(t, c, 1)
	all := []*engine.Batch{mustStore(t, e, 0, 100)}
	epoch := epochOfRecords(t, e)
	stop, stored := make(chan struct{}), make(chan []*engine.Batch)
	go func() {
		var all []*engine.Batch
		for n := 1; ; n++ {
			select {
			case <-stop:
				stored <- all
				return
			default:
			}
			b := enginetest.NewBatch(device, 100*n, 100)
			storeUntilStored(t, e, b)
			all = append(all, b)
		}
	}()
	home := c.Master(shardStream(0))
	for range 3 {
		for _, to := range []*testkit.Redis{c.Nodes[0], c.Nodes[1], home} {
			if to == c.Master(shardStream(0)) {
				continue
			}
			c.Move(shardStream(0), to, func() {
				testkit.Eventually(t, "the shard says that it waits", func() bool {
					status, err := e.Probe(limited(t))
					return err != nil && len(status.Shards) == 1 && strings.Contains(err.Error(), "ASK")
				})
			})
			testkit.Succeeds(t, "the shard stores", patience, func() error { _, err := e.Probe(limited(t)); return err })
		}
	}
	close(stop)
	all = append(all, <-stored...)
	wantStored(t, c, all...)
	if after := epochOfRecords(t, e); after != epoch {
		t.Errorf("the epoch was %d, is %d, and nothing is lost", epoch, after)
	}
}

// The number of shards stands beside the data. Another one stores nothing, shows nothing, and says why.
func TestClusterRefusesAnotherNumberOfShards(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1, never)
	mustStore(t, useCluster(t, c, 1), 0, 1)
	e := useCluster(t, c, 2)
	const says = `says that the streams have "1" shards, not 2`
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 1, 1)), false, false, says)
	_, err := e.Probe(limited(t))
	wantFate(t, err, false, false, says)
	_, err = e.Inspect(limited(t))
	wantFate(t, err, false, false, says)
	wantFate(t, e.Tail(limited(t), true, nil), false, false, says)
	wantFate(t, e.EachRecord(limited(t), nil), false, false, says)
	wantFate(t, e.RemoveDeadLetters(limited(t), []string{"1-1700000000000-0"}), false, false, says)

	// The number may be lost, or overwritten, while an engine runs.
	e = useCluster(t, c, 1)
	mustStore(t, e, 1, 1)
	owner := c.Master(testStream + ":shards")
	owner.Do("SET", testStream+":shards", 8)
	_, err = e.Probe(limited(t))
	wantFate(t, err, false, false, "not 1")
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 2, 1)), false, false, "not 1")
	owner.Do("DEL", testStream+":shards")
	if _, err = e.Probe(limited(t)); err != nil {
		t.Error(err)
	}
	mustStore(t, e, 2, 1)
	if n := owner.Do("GET", testStream+":shards"); n != "1" {
		t.Errorf("%v shards stand beside the data", n)
	}
}

// What a cluster is said to promise.
func TestClusterInspect(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1, never)
	for durability, says := range map[Durability]string{
		oneReplica:    "with replicas=1 and one replica of a master nothing is stored",
		{}:            "set REDIS_DURABILITY=replicas=1",
		{Fsync: true}: "cannot confirm an fsync",
	} {
		e := use(t, nil, Options{URL: c.URL(), Shards: 8, Durability: durability})
		d, err := e.Inspect(limited(t))
		text := fmt.Sprint(d, err)
		if !strings.Contains(text, says) || !strings.Contains(text, "8, at the masters") ||
			!strings.Contains(text, c.Nodes[1].Addr()) || strings.Contains(text, errCluster.Error()) {
			t.Errorf("%s: %s", durability, text)
		}
	}
}

// documentedRights are those that docs/redis.md has, for a cluster.
func documentedRights(t *testing.T) (rights []any) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(string(page), "ACL SETUSER ingestion on >PASSWORD")
	text, behind, _ := strings.Cut(behind, "```")
	_, cluster, _ := strings.Cut(behind, "For a [cluster]")
	cluster, _, _ = strings.Cut(cluster, ".\n")
	for _, word := range strings.Fields(text) {
		if !strings.Contains(word, "waitaof") { // this server lacks it
			rights = append(rights, word)
		}
	}
	for word := range strings.SplitSeq(cluster, "`") {
		if strings.HasPrefix(word, "~") || strings.HasPrefix(word, "+") {
			rights = append(rights, word)
		}
	}
	return rights
}

// A user with the rights that the page has can do all that the engine does.
func TestClusterWithLimitedRights(t *testing.T) {
	t.Parallel()
	c := testkit.StartRedisCluster(t, 3, 1, never)
	for _, n := range c.Nodes {
		n.Do(slices.Concat([]any{"ACL", "SETUSER", "ingestion", "on", ">secret"}, documentedRights(t))...)
	}
	e := use(t, nil, Options{
		URL: strings.Replace(c.URL(), "://", "://ingestion:secret@", 1), Shards: 8, Durability: oneReplica, Recall: true,
		MaxLen: 1000, DeadMaxBytes: 1 << 20, MessageMaxBytes: 1 << 20,
	})
	b := enginetest.NewBatch(device, 0, 10)
	b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}
	doubted(b, engine.Arrived)
	if err := e.Store(limited(t), e.Lane(device), enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	if err := e.Store(limited(t), e.Lane(device), enginetest.Sized(b)); err != nil || !b.Results[9].Duplicate {
		t.Errorf("sent again: %+v, %v", b.Results[9], err)
	}
	if status, err := e.Probe(limited(t)); err != nil || status.Length != 10 || len(status.Shards) != 8 {
		t.Errorf("%+v, %v", status, err)
	}
	if d, err := e.Inspect(limited(t)); err != nil || strings.Contains(fmt.Sprint(d.Warnings), "allow") {
		t.Errorf("%+v, %v", d, err)
	}
	var refs []string
	err := e.EachDeadLetter(limited(t), func(ref string, _ engine.DeadLetter) error {
		refs = append(refs, ref)
		return e.RemoveDeadLetters(limited(t), []string{ref})
	})
	if shard := fmt.Sprint(e.Lane(device)) + "-"; err != nil || len(refs) != 1 || !strings.HasPrefix(refs[0], shard) {
		t.Errorf("dead letters %q, %v", refs, err)
	}
	ended := errors.New("seen")
	if err := e.Tail(limited(t), true, func([]byte) error { return ended }); err != ended {
		t.Error(err)
	}
	if last, whole, err := e.LastRecords(limited(t), device, 3); err != nil || len(last) != 3 || !whole {
		t.Errorf("%d records, %v, %v", len(last), whole, err)
	}
}
