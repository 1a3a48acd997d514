package redisstream

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// recalling is an engine as a process has it that has just started, with a batch that its devices may have sent before.
func recalling(t *testing.T, r *testkit.Redis, o Options) *Engine {
	o.Recall = true
	return use(t, r, o)
}

func recalled(first, count int) *engine.Batch {
	b := enginetest.NewBatch(device, first, count)
	return doubted(b, engine.Arrived)
}

// doubted has all records be in doubt.
func doubted(b *engine.Batch, d engine.Doubt) *engine.Batch {
	for i := range b.Records {
		b.Records[i].Doubt = d
	}
	return b
}

// wantKnown stores the batch and fails unless exactly the first records of it are known.
func wantKnown(t *testing.T, e *Engine, b *engine.Batch, known int) {
	t.Helper()
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		if result.Err != nil || result.Duplicate != (i < known) {
			t.Errorf("record %d: %+v", i, result)
		}
	}
}

func wantEntries(t *testing.T, r *testkit.Redis, want int) {
	t.Helper()
	if n := r.Do("XLEN", testStream); n != int64(want) {
		t.Errorf("%v entries, want %d", n, want)
	}
}

// TestRecallAcrossEngines has two engines, as of two instances, be sent what the other one has stored, again and again.
func TestRecallAcrossEngines(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	wantKnown(t, a, recalled(0, 5), 0)
	wantKnown(t, b, recalled(0, 8), 5)
	wantKnown(t, a, recalled(2, 10), 6)
	wantKnown(t, b, recalled(4, 8), 8)
	wantEntries(t, r, 12)
}

// TestRecallOnlyWhenAsked leaves all other batches to whoever remembers what was stored.
func TestRecallOnlyWhenAsked(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b, off := recalling(t, r, Options{}), recalling(t, r, Options{}), use(t, r, Options{})
	wantKnown(t, a, enginetest.NewBatch(device, 0, 5), 0)
	wantKnown(t, b, enginetest.NewBatch(device, 0, 5), 0)
	wantKnown(t, off, recalled(0, 5), 0)
	wantEntries(t, r, 15)
}

// TestRecallBehindAValueThatIsNoMark has somebody else have written where a mark belongs.
func TestRecallBehindAValueThatIsNoMark(t *testing.T) {
	r := testkit.StartRedis(t)
	for _, value := range []string{"", "\x01", strings.Repeat("x", 2*replyBuffer)} {
		r.Do("FLUSHALL")
		r.Do("HSET", markKey(testStream), device, value)
		a := recalling(t, r, Options{})
		wantKnown(t, a, recalled(0, 3), 0)
		wantKnown(t, a, recalled(0, 4), 3)
		wantEntries(t, r, 4)
	}
}

// TestRecallIsInterrupted has the caller's context end while a frozen Redis is asked for the marks. Nothing is written,
// and so nothing is in doubt.
func TestRecallIsInterrupted(t *testing.T) {
	r := testkit.StartRedis(t)
	a := recalling(t, r, Options{})
	wantKnown(t, a, recalled(0, 3), 0)
	r.Freeze()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	b := recalled(3, 3)
	err := a.Store(ctx, 0, b)
	if !errors.Is(err, context.DeadlineExceeded) || !engine.IsTransient(err) || engine.IsAmbiguous(err) {
		t.Errorf("while redis is frozen: %v", err)
	}
	r.Thaw()
	wantKnown(t, a, b, 0)
	wantEntries(t, r, 6)
}

// TestRecallOfWhatIsGone writes again what was removed after it had been found: a resend is what repairs a loss.
func TestRecallOfWhatIsGone(t *testing.T) {
	r := testkit.StartRedis(t)
	a := recalling(t, r, Options{})
	wantKnown(t, a, recalled(0, 3), 0)
	wantKnown(t, a, recalled(0, 3), 3)
	for _, remove := range []func(){
		func() { r.Do("DEL", testStream) },
		func() { r.Do("FLUSHALL") },
		func() { r.Do("XTRIM", testStream, "MAXLEN", 0) },
	} {
		remove()
		aMoment(t, r)
		wantKnown(t, a, recalled(0, 3), 0)
		wantKnown(t, a, recalled(0, 3), 3)
		wantEntries(t, r, 3)
	}
	third := r.Do("XREVRANGE", testStream, "+", "-", "COUNT", 1).([]any)[0].([]any)[0]
	r.Do("XDEL", testStream, third)
	wantKnown(t, a, recalled(0, 3), 2)
}

// aMoment has Redis give later ids to entries, also of a stream that begins anew.
func aMoment(t *testing.T, r *testkit.Redis) {
	now := func() string { time := r.Do("TIME").([]any); return time[0].(string) + time[1].(string)[:3] }
	begun := now()
	testkit.Eventually(t, "the next millisecond", func() bool { return now() != begun })
}

// TestRecallReadsNoMoreThanItReaches has far more come into the stream than is read back, before records and behind
// those that are gone.
func TestRecallReadsNoMoreThanItReaches(t *testing.T) {
	r := testkit.StartRedis(t)
	a := recalling(t, r, Options{})
	fill := func(entries int) {
		r.Do("EVAL", `for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'payload', '{"no":"id"}') end`,
			1, testStream, entries)
	}
	fill(2 * lookReach)
	wantKnown(t, a, recalled(0, 2), 0) // of which the mark is behind what others have written
	fill(2 * lookReach)
	wantKnown(t, recalling(t, r, Options{}), recalled(0, 2), 2)
	last := r.Do("XREVRANGE", testStream, "+", "-", "COUNT", 1).([]any)[0].([]any)[0]
	wantKnown(t, a, recalled(2, 1), 0)
	r.Do("XDEL", testStream, r.Do("XRANGE", testStream, "("+last.(string), "+").([]any)[0].([]any)[0])
	fill(2 * lookReach)
	before := commandCalls(r, "xrange")
	wantKnown(t, recalling(t, r, Options{}), recalled(2, 1), 0)
	if pages := commandCalls(r, "xrange") - before; pages > lookReach/lookPage+4 {
		t.Errorf("%d pages were read", pages)
	}
}

// TestRecallWithoutTheRights stores as before, and says so.
func TestRecallWithoutTheRights(t *testing.T) {
	for _, missing := range []string{
		"-hset", "-hmget", "-multi", "-exec", "-unlink", "-rename", "-hlen", "-memory", "-xrange", "-xrevrange",
	} {
		t.Run(missing, func(t *testing.T) {
			r := testkit.StartRedis(t)
			r.Do("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+@all", missing)
			var logged bytes.Buffer
			a := recalling(t, r, Options{
				URL: "redis://writer:secret@" + r.Addr(), Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			wantKnown(t, a, recalled(0, 3), 0)
			wantKnown(t, a, recalled(0, 3), 0)
			wantEntries(t, r, 6)
			if n := strings.Count(logged.String(), "marked"); n != 1 {
				t.Errorf("said %d times: %s", n, logged.String())
			}
		})
	}
}

// TestRightsAreLost while a lane is connected: nothing fails but resends' being recognised.
func TestRightsAreLost(t *testing.T) {
	for _, missing := range []string{"-hset", "-hmget", "-xrange"} {
		t.Run(missing, func(t *testing.T) {
			r := testkit.StartRedis(t)
			r.Do("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+@all")
			a := recalling(t, r, Options{URL: "redis://writer:secret@" + r.Addr()})
			wantKnown(t, a, recalled(0, 3), 0)
			r.Do("ACL", "SETUSER", "writer", missing)
			wantKnown(t, a, enginetest.NewBatch(device, 3, 3), 0)
			wantKnown(t, a, recalled(3, 3), 0)
			wantEntries(t, r, 9)
			if !a.shards[0].unmarked.Load() {
				t.Error("marks are still written")
			}
		})
	}
}

// TestBatchThatComesAgainFindsWhatAnotherInstanceHasStored has the answer to a batch be lost, of which only the first
// record is stored, while its device goes on elsewhere: there the same records and later ones are stored. Their
// documents differ, because they came at another time.
func TestBatchThatComesAgainFindsWhatAnotherInstanceHasStored(t *testing.T) {
	r := testkit.StartRedis(t)
	var cut atomic.Bool
	p := startRelay(t, r, func(command []string) (string, bool) { return "", cut.Load() && isXADD(command, testStream) })
	a, b := recalling(t, r, Options{URL: p.url()}), recalling(t, r, Options{})
	wantKnown(t, a, enginetest.NewBatch(device, 0, 1), 0)
	unsure := enginetest.NewBatch(device, 1, 3)
	cut.Store(true)
	wantFate(t, a.Store(limited(t), 0, unsure), true, true, "")
	moved := recalled(1, 5)
	for i := range moved.Records {
		moved.Records[i].Payload = slices.Replace(moved.Records[i].Payload, 1, 1, []byte(`"elsewhere":true,`)...)
	}
	wantKnown(t, b, moved, 1)
	cut.Store(false)
	clear(unsure.Results)
	wantKnown(t, a, unsure, 3)
	wantEntries(t, r, 6)
}

// TestRecallReadsLessAtOnce where a page does not come in time: no device must wait for ever because others' records
// are large.
func TestRecallReadsLessAtOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	wantKnown(t, recalling(t, r, Options{}), recalled(0, 40), 0)
	var asked []string
	p := startRelay(t, r, func(command []string) (string, bool) {
		if command[0] != "XRANGE" || command[1] != testStream || len(command) < 6 {
			return "", false
		}
		asked = append(asked, command[5])
		return "", len(asked) <= 8 // however often the library tries
	})
	a := recalling(t, r, Options{URL: p.url()})
	testkit.Succeeds(t, "the batch being stored", time.Minute, func() error {
		b := recalled(0, 40)
		err := a.Store(limited(t), 0, b)
		if err == nil && !b.Results[39].Duplicate {
			t.Error("not recognised")
		}
		return err
	})
	if last := asked[len(asked)-1]; len(last) >= len(asked[0]) {
		t.Errorf("asked for %v", asked)
	}
}
