package redisstream

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// eventually tries until it succeeds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(patience); ; <-retry.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
	}
}

func TestProbeCountsAndWritesNothing(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	status, err := e.Probe(limited(t))
	if err != nil || status.Length != 0 || status.Lag != nil {
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
	if want := map[string]int64{"whole": 9}; status.Length != 12 || !maps.Equal(status.Lag, want) {
		t.Errorf("got %+v, want 12 records and %v", status, want)
	}
	if now := parseInfo(r.Do("INFO", "persistence").(string))["rdb_changes_since_last_save"]; now != changes {
		t.Errorf("a probe changed something: %s changes before, %s after", changes, now)
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
	if err != nil || len(status.Lag) != 0 {
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
		{"too few replicas", "NOREPLICAS", true, []any{"CONFIG", "SET", "min-replicas-to-write", 1}, []any{"CONFIG", "SET", "min-replicas-to-write", 0}},
		{"wrong type", "WRONGTYPE", false, []any{"SET", testStream, "x"}, []any{"DEL", testStream}},
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
	eventually(t, "a failed snapshot", func() error {
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
