package redisstream

import (
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestNewRefusesSettingsThatCannotWork(t *testing.T) {
	const good = "redis://user:secret@localhost:6379/0"
	for name, o := range map[string]Options{
		"no URL":               {Stream: "s"},
		"other scheme":         {Stream: "s", URL: "http://user:secret@localhost"},
		"socket":               {Stream: "s", URL: "unix://user:secret@/tmp/redis.sock"},
		"no scheme":            {Stream: "s", URL: "localhost:6379"},
		"reserved character":   {Stream: "s", URL: "redis://user:sec/ret@localhost:6379"},
		"bad escape":           {Stream: "s", URL: "redis://user:secret%zz@localhost:6379"},
		"control character":    {Stream: "s", URL: "redis://user:secret\n@localhost:6379"},
		"database":             {Stream: "s", URL: good + "zero"},
		"query":                {Stream: "s", URL: good + "?secret=1"},
		"no stream":            {URL: good},
		"negative length":      {Stream: "s", URL: good, MaxLen: -1},
		"lanes":                {Stream: "s", URL: good, Lanes: maxLanes + 1},
		"shards of one server": {Stream: "s", URL: "redis://localhost", Shards: 2},
		"too many shards":      {Stream: "s", URL: "redis+cluster://localhost", Shards: 65},
		"replicas":             {Stream: "s", URL: good, Durability: Durability{Replicas: -1}},
	} {
		e, err := New(o)
		if err == nil {
			_ = e.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "sec") {
			t.Errorf("%s: the password may be in %q", name, err)
		}
	}
}

// The key may be anything, and so may the database.
func TestStoreInAnotherDatabase(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{URL: r.URL() + "/5", ClientName: "gate-7"})
	mustStore(t, e, 0, 3)
	if n := r.Do("DBSIZE"); n != int64(0) {
		t.Errorf("%d keys in database 0", n)
	}
	if list := r.Do("CLIENT", "LIST").(string); strings.Count(list, "name=gate-7") < 2 ||
		strings.Contains(list, "name= db=5") {
		t.Errorf("not all connections have their name:\n%s", list)
	}
}

func TestTLS(t *testing.T) {
	port := testkit.FreePort(t)
	r := testkit.StartRedis(t, trusted.serverArgs(t, port)...)
	allow := func() { r.Do("ACL", "SETUSER", "ingest", "on", ">secret", "~*", "+@all") }
	allow()
	e := use(t, r, Options{URL: fmt.Sprintf("rediss://ingest:secret@127.0.0.1:%d", port)})
	const batches, size = 20, 500
	for n := range batches {
		mustStore(t, e, n*size, size)
	}
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}
	wantPayloads(t, r, enginetest.NewBatch(device, 0, batches*size))
	r.Restart()
	allow()
	mustStore(t, e, 0, 10)
}

func TestTLSOfAnAuthorityThatIsNotTrusted(t *testing.T) {
	other, err := newAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	port := testkit.FreePort(t)
	r := testkit.StartRedis(t, other.serverArgs(t, port)...)
	e := use(t, r, Options{URL: fmt.Sprintf("rediss://127.0.0.1:%d", port)})
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1)), false, false, "unknown authority")
	_, err = e.Probe(limited(t))
	wantFate(t, err, false, false, "unknown authority")
}

// A Redis that answers nothing at all must not hold a new connection up for ever.
func TestConnectToFrozenRedis(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	r.Freeze()
	wantFate(t, e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1)), true, false, "timeout")
	r.Thaw()
	mustStore(t, e, 0, 1)
}
