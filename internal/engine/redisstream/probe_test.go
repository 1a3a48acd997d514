package redisstream

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestProbeCountsAndWritesNothing(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	status, err := e.Probe(limited(t))
	if err != nil || status.Length != 0 || status.Groups != nil || !status.Known {
		t.Fatalf("without a stream: %+v, %v", status, err)
	}
	if n := r.Do("DBSIZE"); n != int64(0) {
		t.Fatalf("%d keys after a probe", n)
	}

	mustStore(t, e, 0, 10)
	r.Do("XGROUP", "CREATE", testStream, "whole", "0")
	r.Do("XGROUP", "CREATE", testStream, "new", "$")
	r.Do("XREADGROUP", "GROUP", "whole", "c1", "COUNT", 3, "STREAMS", testStream, ">")
	mustStore(t, e, 10, 2)
	changes := parseInfo(r.Do("INFO", "persistence").(string))["rdb_changes_since_last_save"]
	status, err = e.Probe(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	// Of the group that starts at the end, Redis does not know the lag before it has read.
	whole, end := status.Groups["whole"], status.Groups["new"]
	if status.Length != 12 || len(status.Groups) != 2 || whole.Lag != 9 || whole.Unread != 12 || end.Lag != -1 ||
		end.Unread != -1 {
		t.Errorf("got %+v, want 12 records, of which one group is delivered 3", status)
	}
	if whole.Oldest <= 0 || whole.Oldest > patience || end.Oldest <= 0 || end.Oldest > whole.Oldest {
		t.Errorf("oldest unread records: %v and %v", whole.Oldest, end.Oldest)
	}
	if status.Memory < 100_000 || status.MemoryLimit != 0 || status.OutOfMemory {
		t.Errorf("memory %+v", status)
	}
	if now := parseInfo(r.Do("INFO", "persistence").(string))["rdb_changes_since_last_save"]; now != changes {
		t.Errorf("a probe changed something: %s changes before, %s after", changes, now)
	}
}

// The oldest unread record is the first one pending, else the first one not delivered.
func TestProbeOldestUnread(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	now := time.Now()
	add := func(ago time.Duration) string {
		return r.Do("XADD", testStream, fmt.Sprintf("%d-0", now.Add(-ago).UnixMilli()), "f", "v").(string)
	}
	minute, half, fresh := add(time.Minute), add(30*time.Second), add(10*time.Second)
	r.Do("XGROUP", "CREATE", testStream, "g", "0")
	for _, step := range []struct {
		what string
		do   []any
		want time.Duration
	}{
		{"nothing is delivered", []any{"PING"}, time.Minute},
		{"two are delivered", []any{"XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "STREAMS", testStream, ">"}, time.Minute},
		{"the first is acknowledged", []any{"XACK", testStream, "g", minute}, 30 * time.Second},
		{"the second too", []any{"XACK", testStream, "g", half}, 10 * time.Second},
		{"the last is delivered", []any{"XREADGROUP", "GROUP", "g", "c", "STREAMS", testStream, ">"}, 10 * time.Second},
		{"all are acknowledged", []any{"XACK", testStream, "g", fresh}, 0},
	} {
		r.Do(step.do...)
		status, err := e.Probe(limited(t))
		if got := status.Groups["g"].Oldest; err != nil || got < step.want || got > step.want+time.Since(now)+time.Second ||
			(got == 0) != (step.want == 0) {
			t.Errorf("when %s, the oldest unread record is %v old, want %v: %v", step.what, got, step.want, err)
		}
	}
}

// A lag that Redis does not know is left out: here entries were deleted behind the group.
func TestProbeLagUnknown(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	for _, id := range []string{"1-0", "2-0", "3-0"} {
		r.Do("XADD", testStream, id, "f", "v")
	}
	r.Do("XGROUP", "CREATE", testStream, "g", "1-0")
	r.Do("XDEL", testStream, "2-0")
	status, err := e.Probe(limited(t))
	if g := status.Groups["g"]; err != nil || g.Lag != -1 || g.Unread != -1 {
		t.Errorf("got %+v, %v", status, err)
	}
}

// TestProbeFails has every state in which Redis answers and would not store.
func TestProbeFails(t *testing.T) {
	cases := []struct {
		name, code  string
		transient   bool
		broke, cure []any
	}{
		{"out of memory", "OOM", true, []any{"CONFIG", "SET", "maxmemory", 1}, []any{"CONFIG", "SET", "maxmemory", 0}},
		{"read-only", "READONLY", true, []any{"REPLICAOF", "127.0.0.1", 1}, []any{"REPLICAOF", "NO", "ONE"}},
		{
			"too few replicas",
			"NOREPLICAS",
			true,
			[]any{"CONFIG", "SET", "min-replicas-to-write", 1},
			[]any{"CONFIG", "SET", "min-replicas-to-write", 0},
		},
		{"wrong type", "WRONGTYPE", false, []any{"SET", testStream, "x"}, []any{"DEL", testStream}},
		{
			"wrong type of the dead letters",
			"dead letters: redis: WRONGTYPE",
			false,
			[]any{"SET", testStream + ":dead", "x"},
			[]any{"DEL", testStream + ":dead"},
		},
		{
			"wrong type of the messages",
			"messages: redis: WRONGTYPE",
			false,
			[]any{"SET", testStream + ":messages", "x"},
			[]any{"DEL", testStream + ":messages"},
		},
		{"password required", "NOAUTH", false, []any{"ACL", "SETUSER", "default", "resetpass", ">new"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := testkit.StartRedis(t, "--maxmemory-policy", "noeviction")
			e := use(t, r, Options{})
			r.Do(c.broke...)
			_, err := e.Probe(limited(t))
			wantFate(t, err, c.transient, false, c.code)
			if c.cure == nil {
				return
			}
			r.Do(c.cure...)
			if _, err := e.Probe(limited(t)); err != nil {
				t.Errorf("after the cure: %v", err)
			}
		})
	}
}

// A snapshot that fails makes Redis refuse writes.
func TestProbeAndStoreWhenSnapshotsFail(t *testing.T) {
	r := testkit.StartRedis(t, "--save", "3600 1000000", "--dbfilename", "dump.rdb")
	e := use(t, r, Options{})
	mustStore(t, e, 0, 1)
	if err := os.MkdirAll(filepath.Join(r.Dir(), "dump.rdb", "in-the-way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.Do("BGSAVE")
	testkit.Succeeds(t, "a failed snapshot", patience, func() error {
		if parseInfo(r.Do("INFO", "persistence").(string))["rdb_last_bgsave_status"] != "err" {
			return errNotYet
		}
		return nil
	})
	_, err := e.Probe(limited(t))
	wantFate(t, err, true, false, "MISCONF")
	if err := os.RemoveAll(filepath.Join(r.Dir(), "dump.rdb")); err != nil {
		t.Fatal(err)
	}
	r.Do("SAVE")
	mustStore(t, e, 1, 1)
}

func TestProbeIsNotHeldUpByLanes(t *testing.T) {
	r := testkit.StartRedis(t)
	blocked := make(chan struct{})
	release := make(chan struct{})
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isXADD(command, testStream) {
			close(blocked)
			<-release
		}
		return "", false
	})
	e := use(t, r, Options{URL: p.url()})
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		mustStore(t, e, 0, 1)
	}()
	<-blocked
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}
	close(release)
	<-stored
}

// A Redis without memory says how much it has and holds, because that is when it matters.
func TestProbeOutOfMemory(t *testing.T) {
	r := testkit.StartRedis(t, "--maxmemory-policy", "noeviction")
	e := use(t, r, Options{MaxLen: 1000})
	mustStore(t, e, 0, 10)
	r.Do("XGROUP", "CREATE", testStream, "g", "0")
	limit := int64(usedMemory(t, r)) / 2
	r.Do("CONFIG", "SET", "maxmemory", limit)
	status, err := e.Probe(limited(t))
	wantFate(t, err, true, false, "OOM")
	if !status.Known || !status.OutOfMemory || status.Length != 10 || status.Limit != 1000 ||
		status.MemoryLimit != limit || status.Memory < limit || status.Groups["g"].Unread != 10 {
		t.Errorf("got %+v", status)
	}
}

func TestProbeBoundsGroups(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	mustStore(t, e, 0, 1)
	for i := range engine.MaxGroups + 5 {
		r.Do("XGROUP", "CREATE", testStream, fmt.Sprintf("g%03d", i), "0")
	}
	status, err := e.Probe(limited(t))
	if _, first := status.Groups["g000"]; err != nil || len(status.Groups) != engine.MaxGroups || !first {
		t.Errorf("%d groups, %v", len(status.Groups), err)
	}
}

// A user that may write records only is not ready: devices with messages would wait for ever.
func TestProbeFindsOneStreamRefused(t *testing.T) {
	r := testkit.StartRedis(t)
	for kind, rights := range map[string][]any{
		"messages":     {"~" + testStream, "~" + testStream + ":dead"},
		"dead letters": {"~" + testStream, "~" + testStream + ":messages"},
	} {
		r.Do(append([]any{"ACL", "SETUSER", "old", "reset", "on", ">secret", "+@all"}, rights...)...)
		e := use(t, r, Options{URL: "redis://old:secret@" + r.Addr()})
		_, err := e.Probe(limited(t))
		wantFate(t, err, false, false, kind+": redis: NOPERM")
	}
}
