package redisstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const device = "356307042441013"

// patience is for what takes milliseconds on a machine that is not busy.
const patience = 20 * time.Second

// use opens an engine and closes it when the test ends.
func use(t testing.TB, r *testkit.Redis, o Options) *Engine {
	t.Helper()
	e := open(t, r, o)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// mustStore stores n records that are new.
func mustStore(t testing.TB, e *Engine, first, n int) *engine.Batch {
	t.Helper()
	b := enginetest.NewBatch(device, first, n)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		if result != (engine.Result{}) {
			t.Fatalf("item %d: %+v", i, result)
		}
	}
	return b
}

// wantFate checks what an error says about a retry and about the write.
func wantFate(t *testing.T, err error, transient, ambiguous bool, text string) {
	t.Helper()
	var typed *engine.Error
	if !errors.As(err, &typed) {
		t.Fatalf("got %T %v, want an *engine.Error", err, err)
	}
	if typed.Transient != transient || typed.Ambiguous != ambiguous {
		t.Errorf("%q is transient %v, ambiguous %v; want %v, %v", err, typed.Transient, typed.Ambiguous, transient, ambiguous)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not mention %q", err, text)
	}
}

// wantPayloads checks that the stream has just these batches' records, in this order.
func wantPayloads(t *testing.T, r *testkit.Redis, batches ...*engine.Batch) {
	t.Helper()
	got := records(t, r)
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

func TestStoreOutOfMemoryFailsOnlyItsItems(t *testing.T) {
	r := testkit.StartRedis(t, "--maxmemory-policy", "noeviction")
	e := use(t, r, Options{})
	first := mustStore(t, e, 0, 1)
	// A limit that the batch runs into on its way.
	r.Do("CONFIG", "SET", "maxmemory", usedMemory(t, r)+1<<20)
	b := enginetest.NewBatch(device, 1, 4000)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	stored := &engine.Batch{}
	for i, result := range b.Results {
		if result.Err == nil {
			stored.Records = append(stored.Records, b.Records[i])
			continue
		}
		wantFate(t, result.Err, true, false, "OOM")
	}
	if n := len(stored.Records); n == 0 || n == len(b.Records) {
		t.Fatalf("%d of %d items are stored, want some", n, len(b.Records))
	}
	wantPayloads(t, r, first, stored)

	r.Do("CONFIG", "SET", "maxmemory", 0)
	mustStore(t, e, 30_000, 1)
}

func usedMemory(t *testing.T, r *testkit.Redis) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(parseInfo(r.Do("INFO", "memory").(string))["used_memory"], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStoreWrongType(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	r.Do("SET", testStream, "not a stream")
	b := enginetest.NewBatch(device, 0, 2)
	b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}
	if err := e.Store(limited(t), 0, enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	wantFate(t, b.Results[0].Err, false, false, "WRONGTYPE")
	wantFate(t, b.Results[1].Err, false, false, "WRONGTYPE")
	if b.Results[2].Err != nil {
		t.Errorf("the dead letter's stream is right: %v", b.Results[2].Err)
	}
	r.Do("DEL", testStream)
	wantPayloads(t, r, mustStore(t, e, 2, 2))
}

func TestStoreReadOnlyUntilPromoted(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	first := mustStore(t, e, 0, 1)
	r.Do("REPLICAOF", "127.0.0.1", testkit.FreePort(t))
	b := enginetest.NewBatch(device, 1, 1)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	wantFate(t, b.Results[0].Err, true, false, "READONLY")
	r.Do("REPLICAOF", "NO", "ONE")
	wantPayloads(t, r, first, mustStore(t, e, 1, 1))
}

func TestStoreWaitsForFrozenRedis(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	first := mustStore(t, e, 0, 1)
	r.Freeze()
	b := enginetest.NewBatch(device, 1, 500)
	result := make(chan error, 1)
	go func() { result <- e.Store(context.Background(), 0, b) }()
	select {
	case err := <-result:
		t.Fatalf("a frozen redis stored a batch: %v", err)
	case <-time.After(commandTimeout + time.Second): // longer than anything that has a time-out
	}
	r.Thaw()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	wantPayloads(t, r, first, b)
}

func TestStoreConnectionLostBeforeTheBatchIsCertain(t *testing.T) {
	r := testkit.StartRedis(t, durable...)
	e := use(t, r, Options{})
	first := mustStore(t, e, 0, 1)
	r.Kill()
	err := e.Store(limited(t), 0, enginetest.NewBatch(device, 1, 1))
	wantFate(t, err, true, false, "refused")
	r.Restart()
	wantPayloads(t, r, first, mustStore(t, e, 1, 1))
}

// After a failover the same name leads to another server; a connection to the old one must not
// keep a lane there.
func TestStoreFollowsAFailover(t *testing.T) {
	old, promoted := testkit.StartRedis(t), testkit.StartRedis(t)
	p := startRelay(t, old, func([]string) (string, bool) { return "", false })
	e := use(t, old, Options{URL: p.url()})
	mustStore(t, e, 0, 1)
	p.redis.Store(promoted.Addr())
	old.Do("REPLICAOF", "127.0.0.1", testkit.FreePort(t))
	b := enginetest.NewBatch(device, 1, 1)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	wantFate(t, b.Results[0].Err, true, false, "READONLY")
	wantPayloads(t, promoted, mustStore(t, e, 1, 1))
}

// A Redis whose AUTH is renamed quotes the password in its answer.
func TestStorePasswordQuotedByRedis(t *testing.T) {
	r := testkit.StartRedis(t)
	p := startRelay(t, r, func(command []string) (string, bool) {
		if command[0] == "AUTH" || command[0] == "HELLO" {
			return "-ERR unknown command, with args beginning with: 'ingest' 's3cret'\r\n", false
		}
		return "", false
	})
	e := use(t, r, Options{URL: strings.Replace(p.url(), "redis://", "redis://ingest:s3cret@", 1)})
	err := e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1))
	wantFate(t, err, false, false, "'ingest' '***'")
	_, err = e.Probe(limited(t))
	wantFate(t, err, false, false, "'ingest' '***'")
}

func TestStoreWrongPasswordUntilCured(t *testing.T) {
	r := testkit.StartRedis(t)
	const password = "s3cr:et/p@ss"
	var logged bytes.Buffer
	e := use(t, r, Options{
		URL:    "redis://ingest:s3cr%3Aet%2Fp%40ss@" + r.Addr(),
		Logger: slog.New(slog.NewJSONHandler(&logged, nil)),
	})
	err := e.Store(limited(t), 0, enginetest.NewBatch(device, 0, 1))
	wantFate(t, err, false, false, "WRONGPASS")
	_, probeErr := e.Probe(limited(t))
	wantFate(t, probeErr, false, false, "WRONGPASS")
	for _, text := range []string{err.Error(), probeErr.Error(), logged.String()} {
		if strings.Contains(text, "s3cr") {
			t.Errorf("the password is in %q", text)
		}
	}
	r.Do("ACL", "SETUSER", "ingest", "on", ">"+password, "~telemetry:*", "+@all")
	wantPayloads(t, r, mustStore(t, e, 0, 3))
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe after the cure: %v", err)
	}
	if !strings.Contains(logged.String(), "works again") {
		t.Errorf("the recovery is not logged: %s", &logged)
	}
}

// A user that may do nothing but add entries is enough to store.
func TestStoreWithTheLeastRights(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do(
		"ACL",
		"SETUSER",
		"least",
		"on",
		">secret",
		"~"+testStream,
		"~"+testStream+":dead",
		"~"+testStream+":messages",
		"+xadd",
		"+select",
	)
	e := use(t, r, Options{URL: "redis://least:secret@" + r.Addr() + "/3"})
	mixed := enginetest.NewBatch(device, 0, 5)
	mixed.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)}
	mixed.Messages = []engine.Message{enginetest.NewMessage(device, 0)}
	if err := e.Store(limited(t), 0, enginetest.Sized(mixed)); err != nil {
		t.Fatal(err)
	}
	for i, result := range mixed.Results {
		if result.Err != nil {
			t.Errorf("item %d: %v", i, result.Err)
		}
	}
	if _, err := e.Probe(limited(t)); err != nil {
		t.Errorf("probe: %v", err)
	}
	d, err := e.Inspect(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(d.Warnings, "\n"); !strings.Contains(text, "+config|get") || !strings.Contains(text, "+info") {
		t.Errorf("the warnings do not say what could not be checked: %q", d.Warnings)
	}
	b := enginetest.NewBatch(device, 0, 5)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Errorf("store without the right to look first: %v", err)
	}
}

func TestStoreUserWithoutRights(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("ACL", "SETUSER", "nobody", "on", ">secret", "~*", "+@all", "-xadd")
	e := use(t, r, Options{URL: "redis://nobody:secret@" + r.Addr()})
	b := enginetest.NewBatch(device, 0, 1)
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	wantFate(t, b.Results[0].Err, false, false, "NOPERM")
	_, err := e.Probe(limited(t))
	wantFate(t, err, false, false, "NOPERM")
}

// A Redis that is down is not hammered: the pauses grow to a second.
func TestStoreBacksOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var accepted atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = c.Close()
		}
	}()
	e := use(t, nil, Options{URL: "redis://" + l.Addr().String()})
	const span = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	for ctx.Err() == nil {
		err := e.Store(ctx, 0, enginetest.NewBatch(device, 0, 1))
		wantFate(t, err, true, false, "")
	}
	if n := accepted.Load(); n < 2 || n > 10 {
		t.Errorf("%d connections in %v, want a few", n, span)
	}
}
