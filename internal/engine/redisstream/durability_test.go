package redisstream

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestParseDurability(t *testing.T) {
	for text, want := range map[string]Durability{
		"reply": {}, "fsync": {Fsync: true}, "replicas=1": {Replicas: 1}, "replicas=100": {Replicas: 100},
	} {
		got, err := ParseDurability(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %+v (%q), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "Reply", "replicas", "replicas=", "replicas=0", "replicas=-1", "replicas=101",
		"replicas=2x", "fsync "} {
		if got, err := ParseDurability(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		} else if !strings.Contains(err.Error(), "replicas=N") {
			t.Errorf("%q: the error does not say what would be right: %v", text, err)
		}
	}
}

func TestFsyncByAppendfsyncAlways(t *testing.T) {
	r := testkit.StartRedis(t, durable...)
	e := use(t, r, Options{Durability: Durability{Fsync: true}})
	first := mustStore(t, e, 0, 10)
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}
	if d, err := e.Inspect(limited(t)); err != nil || d.Class != engine.Fsynced {
		t.Errorf("inspect: %+v, %v", d, err)
	}

	// Somebody weakens the setting under the running service. The batch that finds it out is in
	// the stream already, the next one is not even written.
	r.Do("CONFIG", "SET", "appendfsync", "everysec")
	b := enginetest.NewBatch(device, 10, 5)
	wantFate(t, e.Store(limited(t), 0, b), false, true, "appendfsync always")
	wantFate(t, e.Store(limited(t), 0, b), false, true, "appendfsync always")
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 20, 5)), false, false, "appendfsync always")
	wantPayloads(t, r, first, b)

	r.Do("CONFIG", "SET", "appendfsync", "always")
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	wantPayloads(t, r, first, b)
}

// Everything that makes an fsync impossible is an error that says the remedy, before anything is
// written.
func TestFsyncImpossible(t *testing.T) {
	cases := map[string]struct {
		args []string
		rule []any
	}{
		"appendonly no":      {args: []string{"--appendonly", "no", "--appendfsync", "always"}},
		"everysec":           {args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
		"CONFIG not allowed": {args: durable, rule: []any{"-config"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := testkit.StartRedis(t, c.args...)
			r.Do(append([]any{"ACL", "SETUSER", "ingest", "on", ">secret", "~*", "+@all"}, c.rule...)...)
			e := use(t, r, Options{URL: "redis://ingest:secret@" + r.Addr(), Durability: Durability{Fsync: true}})
			const remedy = "upgrade to Redis 7.2 or later or set appendfsync always"
			wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 3)), false, false, remedy)
			_, err := e.Probe(limited(t))
			wantFate(t, err, false, false, remedy)
			_, err = e.Inspect(limited(t))
			wantFate(t, err, false, false, remedy)
			if n := r.Do("XLEN", testStream); n != int64(0) {
				t.Errorf("%d entries are written", n)
			}
		})
	}
}

// The redis-server of the tests may be older than WAITAOF (7.2), so a relay answers it.
func TestFsyncByWaitAOF(t *testing.T) {
	r := testkit.StartRedis(t)
	var answer atomic.Value
	answer.Store("*2\r\n:1\r\n:0\r\n")
	var waited atomic.Int64
	p := startRelay(t, r, func(command []string) (string, bool) {
		if command[0] != "WAITAOF" {
			return "", false
		}
		if got := strings.Join(command, " "); got == "WAITAOF 1 0 10000" {
			waited.Add(1)
		} else if got != "WAITAOF 1 0 1" {
			t.Errorf("got %s", got)
		}
		return answer.Load().(string), false
	})
	e := use(t, r, Options{URL: p.url(), Durability: Durability{Fsync: true}})
	first := mustStore(t, e, 0, 10)
	if n := waited.Load(); n != 1 {
		t.Errorf("%d waits for one batch", n)
	}
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}

	answer.Store("*2\r\n:0\r\n:0\r\n") // not within the time-out
	b := enginetest.NewBatch(device, 10, 5)
	wantFate(t, e.Store(limited(t), 0, b), true, true, "not fsynced")
	answer.Store("*2\r\n:1\r\n:0\r\n")
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	// The last record is there twice: a write has to come before the second wait.
	wantPayloads(t, r, first, b, enginetest.NewBatch(device, 14, 1))
	if last := b.Results[4]; last.Duplicate || !b.Results[3].Duplicate {
		t.Errorf("results %+v", b.Results)
	}

	answer.Store("-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n")
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 20, 5)), false, true, "set appendonly yes")
	_, err := e.Probe(limited(t))
	wantFate(t, err, false, false, "set appendonly yes")
	length := r.Do("XLEN", testStream)
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 30, 5)), false, false, "set appendonly yes")
	if now := r.Do("XLEN", testStream); now != length {
		t.Errorf("what could not be confirmed was written: %v entries, then %v", length, now)
	}
}

func TestReplicas(t *testing.T) {
	r := testkit.StartRedis(t, "--repl-diskless-sync-delay", "0")
	e := use(t, r, Options{Durability: Durability{Replicas: 1}})

	// Without a replica nothing is written, because it could not be confirmed.
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 3)), true, false, "0 of 1")
	_, err := e.Probe(limited(t))
	wantFate(t, err, true, false, "0 of 1")
	if n := r.Do("XLEN", testStream); n != int64(0) {
		t.Errorf("%d entries are written", n)
	}

	replica := testkit.StartRedis(t, "--replicaof", strings.Replace(r.Addr(), ":", " ", 1))
	b := enginetest.NewBatch(device, 0, 3)
	testkit.Succeeds(t, "a replicated batch", patience, func() error { return e.Store(limited(t), 0, b) })
	wantPayloads(t, replica, b)
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}
	if d, err := e.Inspect(limited(t)); err != nil || d.Class != engine.Replicated {
		t.Errorf("inspect: %+v, %v", d, err)
	}
}

// A replica that is too late makes the batch ambiguous. The answer comes from a relay, because the
// real one takes as long as the time-out.
func TestReplicasTooFew(t *testing.T) {
	r := testkit.StartRedis(t)
	var have atomic.Int64
	have.Store(2)
	p := startRelay(t, r, func(command []string) (string, bool) {
		if command[0] != "WAIT" {
			return "", false
		}
		return fmt.Sprintf(":%d\r\n", have.Load()), false
	})
	e := use(t, r, Options{URL: p.url(), Durability: Durability{Replicas: 2}})
	mustStore(t, e, 0, 1)
	have.Store(1)
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 1, 3)), true, true, "1 of 2")
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 4, 3)), true, false, "1 of 2")
}

func TestLanesSuitTheDurability(t *testing.T) {
	for d, want := range map[Durability]int{{}: lanesReply, {Fsync: true}: lanesWait, {Replicas: 2}: lanesWait} {
		e := use(t, nil, Options{URL: "redis://127.0.0.1:1", Durability: d})
		if e.Lanes() != want {
			t.Errorf("%v: %d lanes, want %d", d, e.Lanes(), want)
		}
	}
	if e := use(t, nil, Options{URL: "redis://127.0.0.1:1", Lanes: 7}); e.Lanes() != 7 {
		t.Errorf("%d lanes, want 7", e.Lanes())
	}
}
