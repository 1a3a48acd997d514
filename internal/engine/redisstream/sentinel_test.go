package redisstream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const (
	quick = time.Second // after which a silent server is down
	never = time.Hour
)

var oneReplica = Durability{Replicas: 1}

func TestEngineOnSentinel(t *testing.T) {
	s := testkit.StartSentinel(t, 1, never, durable...)
	r := s.Servers[0]
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		r.Do("FLUSHALL")
		s.AwaitReplicas(1)
		return enginetest.Harness{
			Open:        func(t *testing.T) engine.Engine { return open(t, r, Options{URL: s.URL(), Durability: oneReplica}) },
			Records:     func(t *testing.T) []enginetest.Stored { return records(t, r) },
			DeadLetters: func(t *testing.T) []enginetest.StoredDead { return deadLetters(t, r) },
			Messages:    func(t *testing.T) []engine.Message { return messages(t, r) },
			Break:       func(*testing.T) { r.Kill() },
			Heal:        func(*testing.T) { r.Restart(); s.AwaitReplicas(1) },
			Hang:        func(*testing.T) { r.Freeze() },
			Resume:      func(*testing.T) { r.Thaw() },
			Lose:        func(*testing.T) { r.Do("FLUSHALL") },
			Inspector:   true, Tailer: true, DeadLetterStore: true, RecordReader: true, DeviceReader: true,
			Consumable: true,
		}
	})
}

// storeUntilStored does what the publisher does: the same batch again and again, until its fate is known.
func storeUntilStored(t testing.TB, e *Engine, b *engine.Batch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for {
		clear(b.Results)
		err := e.Store(ctx, 0, b)
		if err == nil {
			for i := range b.Results {
				err = b.Results[i].Err
			}
		}
		if err == nil {
			return
		}
		if !engine.IsTransient(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// A batch whose answer is lost with the master is looked for at the next one, and stands there once.
func TestSentinelFollowsAKilledMaster(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinel(t, 2, quick)
	e := use(t, s.Servers[0], Options{URL: s.URL(), Durability: oneReplica})
	all := []*engine.Batch{mustStore(t, e, 0, 500)}
	s.Servers[0].Freeze()
	b := enginetest.NewBatch(device, 500, 500)
	done := make(chan struct{})
	go func() { defer close(done); storeUntilStored(t, e, b) }()
	s.AwaitMasterOtherThan(s.Servers[0])
	<-done
	all = append(all, b, mustStore(t, e, 1000, 10))
	s.Servers[0].Thaw()
	s.AwaitReplicas(2)
	all = append(all, mustStore(t, e, 1010, 10))
	wantPayloads(t, s.Master(), all...)
}

// epochOfRecords asks whether what the lane has stored is still there.
func epochOfRecords(t *testing.T, e *Engine) uint64 {
	t.Helper()
	b := &engine.Batch{Known: [engine.Kinds]bool{engine.KindRecord: true}}
	testkit.Succeeds(t, "redis says whether records are lost", 2*patience, func() error {
		return e.Store(limited(t), 0, b)
	})
	return b.Epochs[engine.KindRecord]
}

// A failover to a replica that lacks what was acknowledged must not leave it remembered as stored.
func TestSentinelFailoverThatLosesIsNoticed(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinel(t, 1, quick)
	master, replica := s.Servers[0], s.Servers[1]
	e := use(t, master, Options{URL: s.URL()})
	mustStore(t, e, 0, 10)
	before := epochOfRecords(t, e)
	if again := epochOfRecords(t, e); again != before {
		t.Errorf("the epoch is %d, then %d, and nothing is lost", before, again)
	}
	replica.Kill()
	mustStore(t, e, 10, 10)
	master.Kill()
	replica.Restart()
	s.AwaitMasterOtherThan(master)
	if after := epochOfRecords(t, e); after == before {
		t.Errorf("the epoch is still %d after a failover that has lost all records", after)
	}
	wantPayloads(t, replica, mustStore(t, e, 20, 10))
}

// What a promoted replica leaves behind still has a replica that confirms. Nothing counts as stored there.
func TestReplicaThatLeavesHoldsBatchesUp(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinel(t, 2, never)
	e := use(t, s.Servers[0], Options{URL: s.URL(), Durability: oneReplica})
	first := mustStore(t, e, 0, 10)
	s.Servers[1].Do("REPLICAOF", "NO", "ONE") // as a sentinel does, which then tells the others
	b := enginetest.NewBatch(device, 10, 10)
	err := e.Store(limited(t), 0, b)
	wantFate(t, err, true, true, "has left the master")
	s.Servers[1].Do("REPLICAOF", "127.0.0.1", s.Servers[0].Port())
	storeUntilStored(t, e, b)
	wantPayloads(t, s.Servers[0], first, b)
}

// Without anybody to ask, nothing is stored and the reason is said.
func TestSentinelsThatNameNobody(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinel(t, 1, never)
	away := "redis+sentinel://" + net.JoinHostPort("127.0.0.1", fmt.Sprint(testkit.FreePort(t))) + "/mymaster"
	for url, says := range map[string]string{
		away: "refused",
		strings.Replace(s.URL(), "mymaster", "other", 1): "knows no master of the name other",
	} {
		e := use(t, s.Servers[0], Options{URL: url})
		wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1)), true, false, says)
		_, err := e.Probe(limited(t))
		wantFate(t, err, true, false, says)
	}
}

// startSentinelOf starts a sentinel that names the server at the port, with settings and their values.
func startSentinelOf(t *testing.T, port int, settings ...string) {
	t.Helper()
	config := fmt.Sprintf("bind 127.0.0.1\ndir %s\nsentinel monitor mymaster 127.0.0.1 %d 1\n", t.TempDir(), port)
	for i := 0; i < len(settings); i += 2 {
		config += strings.TrimPrefix(settings[i], "--") + " " + settings[i+1] + "\n"
	}
	file := filepath.Join(t.TempDir(), "sentinel.conf") // which the sentinel writes to
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	sentinel := exec.CommandContext(ctx, "redis-server", file, "--sentinel")
	if err := sentinel.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		_ = sentinel.Wait()
	})
}

// Sentinels and the servers that they name are both asked over TLS.
func TestSentinelOverTLS(t *testing.T) {
	t.Parallel()
	port, ask := testkit.FreePort(t), testkit.FreePort(t)
	r := testkit.StartRedis(t, trusted.serverArgs(t, port)...)
	startSentinelOf(t, port, append(trusted.serverArgs(t, ask), "port", "0", "tls-replication", "yes")...)
	e := use(t, r, Options{URL: fmt.Sprintf("rediss+sentinel://127.0.0.1:%d/mymaster", ask)})
	storeUntilStored(t, e, enginetest.NewBatch(device, 0, 10))
	wantPayloads(t, r, enginetest.NewBatch(device, 0, 10))
}

// The answer is lost at any point after Redis has stored, also that to WAIT: each record is stored once.
func TestSentinelAnswerLost(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t, "--repl-diskless-sync-delay", "0")
	testkit.StartRedis(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", r.Port()))
	var cuts atomic.Int64
	p := startRelay(t, r, func(command []string) (string, bool) {
		answered := isXADD(command, testStream) || command[0] == "WAIT" && command[2] == confirmMillis
		return "", answered && cuts.Add(-1) == 0
	})
	_, port, err := net.SplitHostPort(p.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	relayed, _ := strconv.Atoi(port)
	ask := testkit.FreePort(t)
	startSentinelOf(t, relayed, "port", fmt.Sprint(ask))
	e := use(t, r, Options{
		URL: fmt.Sprintf("redis+sentinel://127.0.0.1:%d/mymaster", ask), Durability: oneReplica, Recall: true,
	})
	stored := []*engine.Batch{enginetest.NewBatch(device, 0, 5)}
	storeUntilStored(t, e, stored[0])
	for n := range int64(6) { // after each of the records, and after WAIT
		b := enginetest.NewBatch(device, len(stored)*5, 5)
		cuts.Store(n + 1)
		wantFate(t, e.Store(limited(t), 0, b), true, true, "")
		storeUntilStored(t, e, b)
		stored = append(stored, b)
	}
	wantPayloads(t, r, stored...)
}

func TestReadRole(t *testing.T) {
	bulk := func(words ...string) (b string) {
		for _, w := range words {
			b += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
		return b
	}
	start := "*3\r\n" + bulk("master") + ":42\r\n"
	for text, want := range map[string]string{
		start + "*1\r\n*3\r\n" + bulk("127.0.0.1", "6380", "40"): "{true 42 [{127.0.0.1:6380 40}]} <nil>",
		start + "*0\r\n": "{true 42 []} <nil>",
		"*5\r\n" + bulk("slave", "127.0.0.1") + ":6379\r\n" + bulk("connected") + ":42\r\n": "{false 0 []} <nil>",
		"*2\r\n" + bulk("sentinel") + "*1\r\n" + bulk("mymaster"):                           "{false 0 []} <nil>",
		"-NOPERM no right\r\n":                                "{false 0 []} redis: NOPERM no right",
		start + "*1\r\n*2\r\n" + bulk("a", "b"):               "{true 42 []} redis describes a replica by 2 words",
		start + "*1\r\n*3\r\n" + bulk("127.0.0.1") + "$4\r\n": "{true 42 []} unexpected EOF",
	} {
		got, err := readRole(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			got.replicas = nil
		}
		if s := fmt.Sprintf("%v %v", got, err); s != want {
			t.Errorf("%q: %s, want %s", text, s, want)
		}
	}
}

// Failures of a master that is replaced hold nobody up who goes to the next one.
func TestNextMasterIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	e := use(t, testkit.StartRedis(t), Options{})
	l := e.lanes[0]
	l.term = e.newTerm("127.0.0.1:1")
	l.retry = backoff{delay: never, until: time.Now().Add(never)}
	time.AfterFunc(10*time.Millisecond, func() { _ = l.term.close() })
	l.rest(limited(t))
	if l.retry != (backoff{}) {
		t.Errorf("%v is left of the pause", l.retry.left())
	}
	l.term = nil
	mustStore(t, e, 0, 1)
}
