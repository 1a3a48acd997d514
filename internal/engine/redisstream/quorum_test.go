package redisstream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var (
	quorum  = Durability{Fsync: true, Replicas: 1}
	withAOF = []string{"--appendonly", "yes", "--repl-diskless-sync-delay", "0"}
)

// A replica that does not fsync confirms nothing, and one that is away holds everything up until it is back.
func TestQuorumOnValkey(t *testing.T) {
	t.Parallel()
	program := testkit.Valkey(t)
	master := testkit.StartRedisOf(t, program, withAOF...)
	replica := testkit.StartRedisOf(t, program, append([]string{"--replicaof", "127.0.0.1 " + fmt.Sprint(master.Port())},
		withAOF...)...)
	e := use(t, master, Options{Durability: quorum})
	testkit.Succeeds(t, "the replica confirms", patience, func() error { _, err := e.Probe(limited(t)); return err })
	first := mustStore(t, e, 0, 100)

	d, err := e.Inspect(limited(t))
	if err != nil || d.Class != engine.Replicated || !strings.HasPrefix(d.Engine, "Valkey 9") {
		t.Errorf("%+v, %v", d, err)
	}
	replica.Kill()
	_, err = e.Probe(limited(t))
	wantFate(t, err, true, false, "0 of 1 redis replicas have confirmed an fsync")
	replica.Restart("--appendonly", "no")
	testkit.Eventually(t, "the replica is linked", func() bool {
		return strings.Contains(master.Do("INFO", "replication").(string), "state=online")
	})
	b := enginetest.NewBatch(device, 100, 100)
	brief, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantFate(t, e.Store(brief, 0, b), true, true, "no answer of redis yet")
	replica.Do("CONFIG", "SET", "appendonly", "yes")
	storeUntilStored(t, e, b)
	got := records(t, replica)
	if n := len(first.Records) + len(b.Records); len(got) != n && len(got) != n+1 { // see confirmFound
		t.Errorf("%d records, want %d, or one of them twice", len(got), n)
	}
}

// A fsync is waited for by WAITAOF where the server has it, however it is set up to fsync.
func TestFsyncOnValkey(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedisOf(t, testkit.Valkey(t), withAOF...)
	e := use(t, r, Options{Durability: Durability{Fsync: true}})
	wantPayloads(t, r, mustStore(t, e, 0, 100))
	if calls := r.Do("INFO", "commandstats").(string); !strings.Contains(calls, "cmdstat_waitaof") {
		t.Error("nobody has waited for the append-only file")
	}
}

// Who cannot do it says what can be done.
func TestQuorumRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*testkit.Redis{
		"before 7.2":          testkit.StartRedis(t, "--appendonly", "yes"),
		"without an own file": testkit.StartRedisOf(t, testkit.Valkey(t)),
	} {
		e := use(t, r, Options{Durability: quorum})
		const says = "set appendonly yes at all of them, with Redis 7.2 or later"
		_, err := e.Probe(limited(t))
		wantFate(t, err, false, false, says)
		wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1)), false, false, says)
		if d, err := e.Inspect(limited(t)); err == nil || d.Class == engine.Replicated {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if n := len(records(t, r)); n != 0 {
			t.Errorf("%s: %d records are stored", name, n)
		}
	}
}
