package redisstream

import (
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// epochOf stores n records from the first one on, and returns the lane's epoch of records.
func epochOf(t *testing.T, e *Engine, lane, first, n int) uint64 {
	t.Helper()
	b := enginetest.NewBatch("356307042441013", first, n)
	b.Known[engine.KindRecord] = true
	if err := e.Store(limited(t), lane, b); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return b.Epochs[engine.KindRecord]
}

// What the engine's own trimming removes is not lost, whichever instance trims; what anybody else removes is.
func TestOwnTrimmingIsNoLoss(t *testing.T) {
	for name, group := range map[string]bool{"without groups": false, "with a group": true} {
		t.Run(name, func(t *testing.T) {
			r := testkit.StartRedis(t)
			e, other := use(t, r, Options{}), use(t, r, Options{})
			trim := func(e *Engine) {
				t.Helper()
				for _, s := range newTrimmer(e.shards[0]).streams {
					if err := s.trim(limited(t)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, e := range []*Engine{e, other} { // without trimmers of their own, so that the test says when
				e.shards[0].maxLen = 1000
				for _, l := range e.lanes {
					l.records.limit, l.messages.limit = 1000, 1000
				}
			}
			before := epochOf(t, e, 0, 0, 500)
			if group {
				r.Do("XGROUP", "CREATE", testStream, "g", "$")
			}
			for round := range 8 {
				now := epochOf(t, e, 0, 500*(round+1), 500)
				if now != before {
					t.Fatalf("round %d: epoch %d after %d", round, now, before)
				}
				if group {
					r.Do("XREADGROUP", "GROUP", "g", "c", "NOACK", "COUNT", 10_000, "STREAMS", testStream, ">")
				}
				trim([]*Engine{e, other}[round%2])
			}
			if n := r.Do("XLEN", testStream).(int64); n > 1000+whole {
				t.Fatalf("%d entries, nothing was trimmed", n)
			}
			newest := r.Do("XREVRANGE", testStream, "+", "-", "COUNT", 2).([]any)[1].([]any)[0]
			r.Do("XDEL", testStream, newest)
			if now := epochOf(t, e, 0, 9000, 1); now == before {
				t.Error("an entry deleted by hand is not noticed")
			}
			before = epochOf(t, e, 0, 9001, 1)
			r.Do("XTRIM", testStream, "MAXLEN", 500)
			if now := epochOf(t, e, 0, 9002, 1); now == before {
				t.Error("trimming by hand is not noticed")
			}
		})
	}
}

// A stream that somebody replaces by another one, as long as ours is meant to be and with later ids, is not taken for
// our own trimming; nor is one of another server.
func TestReplacedStreamIsNotTakenForTrimming(t *testing.T) {
	refill := func(r *testkit.Redis, entries int) {
		r.Do("DEL", testStream)
		r.Do("EVAL", "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], (ARGV[1] + i) .. '-0', 'a', 'b') end", 1, testStream,
			time.Now().UnixMilli()+1000, entries)
	}
	for name, replace := range map[string]func(r *testkit.Redis, e *Engine){
		"replaced": func(r *testkit.Redis, _ *Engine) { refill(r, 1200) },
		"another server's, trimmed as well": func(r *testkit.Redis, e *Engine) {
			refill(r, 2400)
			r.Do("XTRIM", testStream, "MAXLEN", 1000)
			e.lanes[0].drop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := testkit.StartRedis(t)
			e := use(t, r, Options{Lanes: 1})
			e.lanes[0].records.limit = 1000
			epochOf(t, e, 0, 0, 500)
			before := epochOf(t, e, 0, 500, 700)
			replace(r, e)
			if now := epochOf(t, e, 0, 2000, 1); now == before {
				t.Errorf("the epoch is still %d", now)
			}
		})
	}
}

// A lane that was idle while the stream was emptied and others filled it again notices.
func TestIdleLaneNoticesALoss(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{Lanes: 2})
	idle, busy := epochOf(t, e, 0, 0, 10), epochOf(t, e, 1, 10, 10)
	r.Do("FLUSHALL")
	for i := range 5 {
		epochOf(t, e, 1, 100+100*i, 100)
	}
	b := &engine.Batch{Known: [engine.Kinds]bool{true}}
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	if now := b.Epochs[engine.KindRecord]; now == idle {
		t.Errorf("the idle lane's epoch is still %d", now)
	}
	if now := epochOf(t, e, 1, 1000, 1); now == busy {
		t.Errorf("the busy lane's epoch is still %d", now)
	}
}

// An emptied stream that the lane itself fills again, in batches that do not ask, is noticed by the next that does.
func TestLossBetweenBatchesThatDoNotAsk(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{Lanes: 1})
	storeAll := func(first int) {
		t.Helper()
		if err := e.Store(limited(t), 0, enginetest.NewBatch("356307042441013", first, 10)); err != nil {
			t.Fatal(err)
		}
	}
	storeAll(0)
	storeAll(10)
	before := epochOf(t, e, 0, 20, 1)
	storeAll(30)
	r.Do("FLUSHALL")
	storeAll(40)
	if now := epochOf(t, e, 0, 50, 1); now == before {
		t.Error("not noticed")
	}
}

// Entries that are larger than the lane's read buffer are read over.
func TestWitnessBesideLargeEntries(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("XADD", testStream, "*", "payload", strings.Repeat("x", 5*replyBuffer))
	e := use(t, r, Options{Lanes: 1})
	before := epochOf(t, e, 0, 0, 1)
	b := enginetest.NewBatch("356307042441013", 1, 1)
	b.Records[0].Payload = []byte(strings.Repeat("y", 5*replyBuffer))
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	if now := epochOf(t, e, 0, 2, 1); now != before {
		t.Errorf("epoch %d after %d", now, before)
	}
}

// A user who may not look gets everything stored again, and is told of the missing right.
func TestWitnessWithoutTheRightToLook(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-xinfo|stream")
	e := use(t, r, Options{URL: strings.Replace(r.URL(), "://", "://blind:secret@", 1)})
	if one, another := epochOf(t, e, 0, 0, 1), epochOf(t, e, 0, 1, 1); one == another {
		t.Errorf("epoch %d twice, although nothing is known", one)
	}
	d, err := e.Inspect(limited(t))
	if err != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), "+xinfo|stream") {
		t.Errorf("%v, %v", d.Warnings, err)
	}
}

// TestLost has what Redis before version 7 does not count, and what no test can bring about in time.
func TestLost(t *testing.T) {
	id := func(ms uint64) streamID { return streamID{ms, 0} }
	old := func(length int64, first uint64) streamState {
		return streamState{length: length, added: -1, first: id(first)}
	}
	for _, c := range []struct {
		name   string
		limit  int64
		before streamState
		asked  uint64
		now    streamState
		newest bool
		lost   bool
	}{
		{"redis 6: more entries", 0, old(5, 1), 5, old(9, 1), true, false},
		{"redis 6: an entry deleted", 0, old(5, 1), 5, old(4, 1), true, true},
		{"redis 6: the oldest gone, no limit", 0, old(5, 1), 5, old(9, 2), true, true},
		{"redis 6: trimmed", 8, old(10, 1), 10, old(8, 4), true, false},
		{"redis 6: trimmed too far", 8, old(10, 1), 10, old(7, 5), true, true},
		{"redis 6: removed", 8, old(10, 1), 10, streamState{added: -1}, false, true},
		{"the newest is gone and the oldest is not", 8, old(10, 1), 10, old(10, 1), false, true},
		{"the newest was trimmed long ago", 8, old(10, 1), 10, old(8, 100), false, false},
		{"an older first entry: another stream", 8, old(10, 5), 14, old(20, 1), true, true},
		{"counts went back", 0, streamState{length: 5, added: 9, first: id(4)}, 8,
			streamState{length: 5, added: 8, first: id(4)}, true, true},
		{"an older version now", 0, streamState{length: 5, added: 5, first: id(1)}, 5, old(5, 1), true, true},
		{"trimmed beyond the newest", 8, streamState{length: 10, added: 100, first: id(91)}, 100,
			streamState{length: 8, added: 110, first: id(103)}, false, false},
		{"trimmed less than was added with the newest", 8, streamState{length: 10, added: 100, first: id(91)}, 100,
			streamState{length: 12, added: 111, first: id(103)}, false, true},
		{"filled for the first time", 0, streamState{}, 0, streamState{length: 3, added: 3, first: id(1)}, true, false},
	} {
		w := witness{limit: c.limit, seen: c.before, asked: id(c.asked), askedAt: c.before.added}
		if got := w.lost(c.now, c.newest); got != c.lost {
			t.Errorf("%s: lost = %v", c.name, got)
		}
	}
}
