package redisstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const (
	consumedDevice = "356307042441013"
	turnKey        = testStream + ":turn:forward"
)

func member(t *testing.T, e *Engine) engine.Consumer {
	t.Helper()
	c, err := e.Consumer(t.Context(), "forward")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantNext reads n records and compares them, the records of the device from first on.
func wantNext(t *testing.T, c engine.Consumer, first, n int) {
	t.Helper()
	got, err := c.Next(t.Context(), n, 5*time.Second)
	if err != nil || len(got) != n {
		t.Fatalf("%d records and %v are read, want %d", len(got), err, n)
	}
	for i := range n {
		if want := enginetest.NewRecord(consumedDevice, first+i); string(got[i]) != string(want.Payload) {
			t.Fatalf("record %d is %s", first+i, got[i])
		}
	}
}

func storeConsumed(t *testing.T, e *Engine, first, n int) {
	t.Helper()
	if err := e.Store(t.Context(), e.Lane(consumedDevice), enginetest.NewBatch(consumedDevice, first, n)); err != nil {
		t.Fatal(err)
	}
}

// TestConsumerThatWasFrozen loses its turn, and takes nothing from the one that reads instead.
func TestConsumerThatWasFrozen(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 10)
	frozen, next := member(t, e), member(t, e)
	wantNext(t, frozen, 0, 5)
	got, err := next.Next(t.Context(), 5, 0)
	if len(got) != 0 || !errors.Is(err, engine.ErrTurn) || !engine.IsTransient(err) {
		t.Fatalf("%d records and %v while it is the other's turn", len(got), err)
	}
	r.Do("DEL", turnKey) // as if the time had passed in which the frozen one did not renew it
	wantNext(t, next, 0, 5)
	storeConsumed(t, e, 10, 5)
	if got, err := frozen.Next(t.Context(), 5, 0); len(got) != 0 || !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("%d records and %v are read without the turn", len(got), err)
	}
	if err := frozen.Commit(t.Context()); err != nil { // of nothing: it may not have delivered what it dropped
		t.Fatal(err)
	}
	wantNext(t, next, 5, 10)
	if err := next.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g, err := next.Lag(t.Context()); err != nil || g.Unread != 0 {
		t.Errorf("the lag is %+v, %v", g, err)
	}
}

// TestConsumerSaysThatItsTurnWasLost even if it has it again before it has waited for long: what was in hand is
// another's, and comes again only after the error.
func TestConsumerSaysThatItsTurnWasLost(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 5)
	c := member(t, e)
	wantNext(t, c, 0, 3)
	r.Do("SET", turnKey, "another", "PX", "300")
	if got, err := c.Next(t.Context(), 5, 5*time.Second); len(got) > 0 || !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("%d records and %v, want that the turn is lost", len(got), err)
	}
	wantNext(t, c, 0, 3)
	wantNext(t, c, 3, 2)
}

// TestConsumerHolds its turn while nobody else has had it, even if it has ended.
func TestConsumerHolds(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 5)
	c, other := member(t, e), member(t, e)
	wantNext(t, c, 0, 3)
	r.Do("DEL", turnKey)
	if err := c.Holds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Next(t.Context(), 3, 0); len(got) > 0 || !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("%d records and %v are given beside one that holds its turn", len(got), err)
	}
	r.Do("DEL", turnKey)
	wantNext(t, other, 0, 3)
	if err := other.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil { // after which nobody has the turn
		t.Fatal(err)
	}
	if err := c.Holds(t.Context()); !errors.Is(err, engine.ErrTurn) {
		t.Errorf("what another has delivered is held: %v", err)
	}
	wantNext(t, c, 3, 2)
}

// TestConsumerLosesOneShard drops what is in hand of all shards, for it was to be delivered together.
func TestConsumerLosesOneShard(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 3)
	c := member(t, e).(*consumer)
	c.readers = append(c.readers, newGroupReader(e.shards[0], "other", "this"))
	if got, err := c.Next(t.Context(), 6, 0); len(got) != 6 || err != nil {
		t.Fatalf("%d records and %v", len(got), err)
	}
	r.Do("SET", turnKey, "another", "PX", "300")
	if got, err := c.Next(t.Context(), 6, 5*time.Second); len(got) > 0 || !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("%d records and %v, want that the turn is lost", len(got), err)
	}
	wantNext(t, c, 0, 3)
	wantNext(t, c, 0, 3)
}

// TestLateReadTakesNothing: Redis executes a read later that the client has given up. All is given once, in order.
func TestLateReadTakesNothing(t *testing.T) {
	r := testkit.StartRedis(t)
	var hold atomic.Bool
	release, late := make(chan struct{}), make(chan string, 1)
	p := startRelay(t, r, func(command []string) (string, bool) {
		if !slices.Contains(command, readGroup.Hash()) || !hold.CompareAndSwap(true, false) {
			return "", false
		}
		<-release
		var again []any
		for _, word := range command {
			again = append(again, word)
		}
		answer, err := r.TryDo(again...)
		if err != nil {
			answer = err
		}
		late <- fmt.Sprint(answer)
		return "+LATE\r\n", true
	})
	end := sync.OnceFunc(func() { close(release) })
	t.Cleanup(end)
	e := use(t, r, Options{URL: p.url()})
	storeConsumed(t, e, 0, 10)
	c := member(t, e)
	wantNext(t, c, 0, 3)
	hold.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := c.Next(ctx, 3, 0); len(got) > 0 || err == nil {
		t.Fatalf("%d records and %v while Redis does not answer", len(got), err)
	}
	testkit.Succeeds(t, "the shard is tried again", testkit.Timeout, func() error {
		got, err := c.Next(t.Context(), 1, 0)
		if err == nil && (len(got) != 1 || string(got[0]) != string(enginetest.NewRecord(consumedDevice, 3).Payload)) {
			t.Fatalf("%d records are read, of which the fourth is not the first", len(got))
		}
		return err
	})
	wantNext(t, c, 4, 1)
	end()
	if answer := <-late; answer != "[0]" {
		t.Error("the late read is given entries")
	}
	wantNext(t, c, 5, 5)
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g, err := c.Lag(t.Context()); err != nil || g.Unread != 0 {
		t.Errorf("the lag is %+v, %v", g, err)
	}
}

// TestConsumerTakesPendingOfOthers gives first what another program's consumer of the group has not acknowledged.
func TestConsumerTakesPendingOfOthers(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 4)
	r.Do("XGROUP", "CREATE", testStream, "forward", "0")
	r.Do("XREADGROUP", "GROUP", "forward", "another", "COUNT", "2", "STREAMS", testStream, ">")
	wantNext(t, member(t, e), 0, 2)
}

// TestConsumerCountsRemovedEntries says what it was given and nobody can read any more.
func TestConsumerCountsRemovedEntries(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 6)
	first := member(t, e)
	wantNext(t, first, 0, 4)
	_ = first.Close()
	r.Do("XTRIM", testStream, "MAXLEN", "3")
	c := member(t, e)
	wantNext(t, c, 3, 1)
	wantNext(t, c, 4, 2)
	if g, err := c.Lag(t.Context()); err != nil || g.Expired != 3 || g.Unread != 3 {
		t.Errorf("the lag is %+v, %v", g, err)
	}
}

// TestConsumerOfDestroyedGroup makes it anew, and reads all records again.
func TestConsumerOfDestroyedGroup(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 3)
	c := member(t, e)
	wantNext(t, c, 0, 3)
	r.Do("XGROUP", "DESTROY", testStream, "forward")
	testkit.Succeeds(t, "all records again", 10*time.Second, func() error {
		got, err := c.Next(t.Context(), 3, time.Second)
		if err != nil && !engine.IsTransient(err) {
			t.Fatal(err)
		}
		if len(got) != 3 {
			return errors.Join(errors.New("too few"), err)
		}
		return nil
	})
}

// TestConsumerKeepsWhatIsInHand: a shard that cannot be read, and one whose turn is another's, are no reason to drop
// what was given of the first, which is to be committed.
func TestConsumerKeepsWhatIsInHand(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	storeConsumed(t, e, 0, 3)
	c := member(t, e).(*consumer)
	wantNext(t, c, 0, 3)
	other := newGroupReader(e.shards[0], "other", "this")
	other.key = "held"
	r.Do("SET", "held", "another")
	c.readers = append(c.readers, other)
	r.Do("ACL", "SETUSER", "default", "-xreadgroup")
	got, err := c.Next(t.Context(), 3, 0)
	if len(got) > 0 || err == nil || errors.Is(err, engine.ErrTurn) {
		t.Errorf("%d records and %v, want that it cannot be read", len(got), err)
	}
}
