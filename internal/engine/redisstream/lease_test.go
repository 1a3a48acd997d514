package redisstream

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// trimmerOf is an instance's, which does nothing by itself.
func trimmerOf(t *testing.T, r *testkit.Redis, keep int64, url string) *trimmer {
	t.Helper()
	e := use(t, r, Options{URL: url})
	e.shards[0].maxLen = keep // set late, so that nothing trims by itself
	return newTrimmer(e.shards[0])
}

// lengthen adds entries with ids of now.
func lengthen(r *testkit.Redis, n int) {
	r.Do("EVAL", "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'payload', string.rep('x', 500)) end", 1,
		testStream, n)
}

// wantRound has the trimmer take its turn beside a stream that is too long, and wants it trimmed or left alone.
func (t *trimmer) wantRound(tb *testing.T, r *testkit.Redis, trims bool) {
	tb.Helper()
	lengthen(r, 500)
	if err := t.round(limited(tb)); err != nil {
		tb.Fatal(err)
	}
	if n := r.Do("XLEN", testStream).(int64); (n <= t.maxLen+whole) != trims {
		tb.Errorf("%d entries are left of %d to keep, trimmed: want %v", n, t.maxLen, trims)
	}
}

// TestOneInstanceTrims has several instances take turns.
func TestOneInstanceTrims(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	a, b := trimmerOf(t, r, 100, ""), trimmerOf(t, r, 100, "")
	a.wantRound(t, r, true)
	b.wantRound(t, r, false)
	a.wantRound(t, r, true)

	other := trimmerOf(t, r, 50, "")
	other.wantRound(t, r, true) // it keeps less
	b.wantRound(t, r, false)

	r.Do("DEL", leaseKey(testStream)) // as a failover may
	b.wantRound(t, r, true)
	a.wantRound(t, r, false)

	testkit.Eventually(t, "the lease of one that has gone expires", func() bool {
		return r.Do("EXISTS", leaseKey(testStream)).(int64) == 0
	})
	a.wantRound(t, r, true)
	b.wantRound(t, r, false)

	r.Do("SET", leaseKey(testStream), "whatever")
	a.wantRound(t, r, true)
}

// TestTrimsWithoutALease: what Redis refuses about the lease keeps nobody from trimming.
func TestTrimsWithoutALease(t *testing.T) {
	for name, prepare := range map[string]func(r *testkit.Redis) (url string){
		"forbidden": func(r *testkit.Redis) string {
			r.Do("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-set")
			return strings.Replace(r.URL(), "://", "://plain:secret@", 1)
		},
		"another type": func(r *testkit.Redis) string {
			r.Do("LPUSH", leaseKey(testStream), "x")
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := testkit.StartRedis(t)
			url := prepare(r)
			a, b := trimmerOf(t, r, 100, url), trimmerOf(t, r, 100, url)
			a.wantRound(t, r, true)
			b.wantRound(t, r, true)
		})
	}
	t.Run("out of memory", func(t *testing.T) {
		r := testkit.StartRedis(t)
		a := trimmerOf(t, r, 100, "")
		lengthen(r, 500)
		r.Do("CONFIG", "SET", "maxmemory", "1")
		if err := a.round(limited(t)); err != nil {
			t.Fatal(err)
		}
		if n := r.Do("XLEN", testStream).(int64); n > 100+whole {
			t.Errorf("%d entries are left", n)
		}
	})
}

// TestLeaseOfOneThatCannotTrim is not kept: another instance may have the right to.
func TestLeaseOfOneThatCannotTrim(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-xtrim")
	a := trimmerOf(t, r, 100, strings.Replace(r.URL(), "://", "://plain:secret@", 1))
	b := trimmerOf(t, r, 100, "")
	lengthen(r, 500)
	if err := a.round(limited(t)); err == nil {
		t.Error("trims without the right to")
	}
	r.Do("PEXPIRE", leaseKey(testStream), 500)
	if err := a.round(limited(t)); err == nil {
		t.Error("trims without the right to")
	}
	if left := r.Do("PTTL", leaseKey(testStream)).(int64); left > 500 {
		t.Errorf("the lease is kept for %d ms", left)
	}
	testkit.Eventually(t, "the lease expires", func() bool {
		return r.Do("EXISTS", leaseKey(testStream)).(int64) == 0
	})
	b.wantRound(t, r, true)
}

// TestTwoHoldTheLease has two instances trim at the same time: they remove nothing that a group needs.
func TestTwoHoldTheLease(t *testing.T) {
	r := testkit.StartRedis(t)
	fill(t, r, 3000)
	r.Do("XGROUP", "CREATE", testStream, "g", "0")
	deliver(t, r, "g", 1000, 500)
	a, b := trimmerOf(t, r, 100, ""), trimmerOf(t, r, 100, "")
	for range 20 {
		var rounds sync.WaitGroup
		for _, t2 := range []*trimmer{a, b} {
			rounds.Go(func() {
				r.Do("DEL", leaseKey(testStream))
				if err := t2.round(limited(t)); err != nil {
					t.Error(err)
				}
			})
		}
		rounds.Wait()
	}
	if got := oldest(t, r); got > 501 || got < 501-whole {
		t.Errorf("the oldest entry is %d, want 501 or a few less", got)
	}
}

// TestOthersKnowTheSizes: an instance that does not ask Redis shows the sizes that the one with the lease knows.
func TestOthersKnowTheSizes(t *testing.T) {
	r := testkit.StartRedis(t)
	options := Options{DeadMaxBytes: 1 << 20, MessageMaxBytes: 1 << 20}
	a, b := use(t, r, options), use(t, r, options)
	batch := &engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter("device", 1)}}
	batch.DeadLetters[0].Frame = make([]byte, 10_000)
	if err := a.Store(limited(t), 0, enginetest.Sized(batch)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "both show the dead letters' bytes", func() bool {
		for _, e := range []*Engine{a, b} {
			if status, err := e.Probe(limited(t)); err != nil || status.DeadLetterBytes < 10_000 {
				return false
			}
		}
		return true
	})
}

// TestManyInstancesDoTheWorkOfOne counts what Redis is asked to trim by four instances.
func TestManyInstancesDoTheWorkOfOne(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	for range 4 {
		use(t, r, Options{MaxLen: 1000})
	}
	begin := time.Now()
	testkit.Eventually(t, "four rounds", func() bool { return commandCalls(r, "xtrim") >= 4 })
	if took := time.Since(begin); took < 2*trimEvery {
		t.Errorf("four rounds in %v: more than one instance trims", took)
	}
	if n := commandCalls(r, "xtrim"); n > 8 {
		t.Errorf("%d times trimmed", n)
	}
}

// commandCalls is how often Redis was given a command.
func commandCalls(r *testkit.Redis, name string) (n int) {
	_, rest, _ := strings.Cut(r.Do("INFO", "commandstats").(string), "cmdstat_"+name+":calls=")
	_, _ = fmt.Sscan(strings.Split(rest, ",")[0], &n)
	return n
}
