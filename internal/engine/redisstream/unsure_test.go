package redisstream

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// What a frozen Redis has in its socket buffers when the batch is given up must not be stored
// after the retry has looked for it. The batch is long, so that Redis reads it in many turns.
func TestStoreGivenUpOnFrozenRedisIsStoredOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	for round := range 2 {
		first := mustStore(t, e, 0, 1)
		b := enginetest.NewBatch(device, 1, 2000)
		r.Freeze()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := e.Store(ctx, 0, b)
		cancel()
		wantFate(t, err, true, true, "no answer")
		result := make(chan error, 1)
		go func() { result <- e.Store(limited(t), 0, b) }()
		r.Thaw()
		if err := <-result; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		wantPayloads(t, r, first, b)
		r.Do("DEL", testStream)
	}
}

// A connection that is cut at any point leaves the fate open; the retry finds out.
func TestStoreConnectionLostWithinTheBatch(t *testing.T) {
	for _, cutAt := range []int64{1, 2, 25, 49, 50, 51, 53, 54, 55, 56} {
		t.Run(fmt.Sprint(cutAt), func(t *testing.T) {
			r := testkit.StartRedis(t)
			var seen atomic.Int64
			seen.Store(-10) // the records before the batch
			var from atomic.Value
			p := startRelay(t, r, func(command []string) (string, bool) {
				if command[0] == "XRANGE" && command[1] == testStream {
					from.Store(command[2])
				}
				if !isXADD(command, testStream) && !isXADD(command, testStream+":dead") &&
					!isXADD(command, testStream+":messages") {
					return "", false
				}
				return "", seen.Add(1) == cutAt
			})
			e := use(t, r, Options{URL: p.url()})
			first := mustStore(t, e, 100, 10)
			last := r.Do("XREVRANGE", testStream, "+", "-", "COUNT", 1).([]any)[0].([]any)[0]
			b := enginetest.NewBatch(device, 0, 50)
			b.DeadLetters = []engine.DeadLetter{
				enginetest.NewDeadLetter(device, 0), enginetest.NewDeadLetter(device, 1),
				enginetest.NewDeadLetter(device, 1), enginetest.NewDeadLetter(device, 2),
			}
			b.Messages = []engine.Message{
				enginetest.NewMessage(device, 1), enginetest.NewMessage(device, 1), enginetest.NewMessage(device, 2),
			}
			wantFate(t, e.Store(limited(t), 0, enginetest.Sized(b)), true, true, "")
			if err := e.Store(limited(t), 0, enginetest.Sized(b)); err != nil {
				t.Fatal(err)
			}
			for i, result := range b.Results {
				if want := i < int(cutAt); result.Err != nil || result.Duplicate != want {
					t.Fatalf("item %d: %+v, want duplicate %v", i, result, want)
				}
			}
			if want := fmt.Sprint("(", last); from.Load() != want {
				t.Errorf("looked from %v on, want %v", from.Load(), want)
			}
			wantPayloads(t, r, first, b)
			if n := len(deadLetters(t, r)); n != 4 {
				t.Errorf("%d dead letters, want 4", n)
			}
			if n := len(messages(t, r)); n != 3 {
				t.Errorf("%d messages, want 3", n)
			}
		})
	}
}

// A Redis that is slow still has commands of a connection that was given up when the retry looks
// for the records. It must not execute them afterwards.
func TestStoreGivenUpOnSlowRedisIsStoredOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	var seen atomic.Int64
	release := make(chan struct{})
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isXADD(command, testStream) && seen.Add(1) == 25 {
			<-release
		}
		return "", false
	})
	e := use(t, r, Options{URL: p.url()})
	b := enginetest.NewBatch(device, 0, 50)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	wantFate(t, e.Store(ctx, 0, b), true, true, "no answer")
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Error(err)
	}
	close(release)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	p.stop()
	wantPayloads(t, r, b)
}

// A batch that was given up is out of the way before another one is written: what Redis had not read of it by then must
// not come behind the other one.
func TestStoreOfAnotherBatchSettlesTheOneGivenUp(t *testing.T) {
	r := testkit.StartRedis(t)
	var seen atomic.Int64
	release := make(chan struct{})
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isXADD(command, testStream) && seen.Add(1) == 25 {
			<-release
		}
		return "", false
	})
	e := use(t, r, Options{URL: p.url()})
	given := enginetest.NewBatch(device, 0, 50)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	wantFate(t, e.Store(ctx, 0, given), true, true, "no answer")
	other := enginetest.NewBatch(device, 100, 3)
	if err := e.Store(limited(t), 0, other); err != nil {
		t.Error(err)
	}
	close(release)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	p.stop()
	given.Records = given.Records[:24]
	wantPayloads(t, r, given, other)
}

// An item that Redis refuses fails alone: those that Redis has taken behind it are not to be stored twice.
func TestStoreRefusedItemFailsAlone(t *testing.T) {
	r := testkit.StartRedis(t)
	var seen atomic.Int64
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isXADD(command, testStream) && seen.Add(1) == 3 {
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n", false
		}
		return "", false
	})
	e := use(t, r, Options{URL: p.url()})
	b := enginetest.NewBatch(device, 0, 5)
	if err := e.Store(limited(t), 0, enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		if failed := i == 2; failed != (result.Err != nil) || failed != engine.IsTransient(result.Err) {
			t.Errorf("item %d: %+v", i, result)
		}
	}
}

// One item is written twice so that Redis can be asked: a record if there is one, which readers know by its id.
func TestFoundBatchKeepsOneToWrite(t *testing.T) {
	l := &lane{e: &Engine{}, confirm: confirmation{waits: true}}
	for _, c := range []struct{ records, messages, kept int }{{2, 3, 1}, {0, 3, 2}} {
		b := enginetest.NewBatch(device, 0, c.records)
		for n := range c.messages {
			b.Messages = append(b.Messages, enginetest.NewMessage(device, n))
		}
		enginetest.Sized(b)
		for i := range b.Results {
			b.Results[i].Duplicate = true
		}
		if err := l.confirmFound(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for i, result := range b.Results {
			if result.Duplicate == (i == c.kept) {
				t.Errorf("%d records, %d messages: item %d is %+v", c.records, c.messages, i, result)
			}
		}
	}
}
