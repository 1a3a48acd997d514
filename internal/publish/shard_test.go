package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// devicesOf are as many devices, apart by whether they belong to the lane.
func devicesOf(e engine.Engine, lane, n int) (inLane, others []string) {
	for i := range n {
		device := fmt.Sprint("device", i)
		if e.Lane(device) == lane {
			inLane = append(inLane, device)
		} else {
			others = append(others, device)
		}
	}
	return inLane, others
}

// load has each device publish frames of ten records for a while, each when the one before is answered, and returns how
// long those took that were stored, and how many were not.
func load(p *Publisher, devices []string, d time.Duration, first int) (took []time.Duration, refused int) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, device := range devices {
		running.Go(func() {
			for n := first; ctx.Err() == nil; n += 10 {
				start := time.Now()
				_, err := publish(p, device, n, n+1, n+2, n+3, n+4, n+5, n+6, n+7, n+8, n+9)
				mu.Lock()
				if err == nil {
					took = append(took, time.Since(start))
				} else {
					refused++
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(time.Second) // as a tracker does, and more often than one
				}
			}
		})
	}
	running.Wait()
	slices.Sort(took)
	return took, refused
}

// One lane of eight hangs, or one shard fails, and ten times the room that the queue has comes for it: the others'
// frames are all stored, as fast as before, and the process gets new devices all the same.
func TestFrozenLaneHoldsOnlyItsQuota(t *testing.T) {
	hang := func(e *testkit.Engine, lane int) { e.HoldLane(lane) }
	fail := func(e *testkit.Engine, lane int) { e.FailShard(lane, errBusy) }
	for _, c := range []struct {
		name   string
		engine func(int) *testkit.Engine
		freeze func(e *testkit.Engine, lane int)
	}{
		{"a lane hangs", testkit.NewEngine, hang},
		{"a shard hangs", testkit.NewShards, hang},
		{"a shard fails", testkit.NewShards, fail},
	} {
		t.Run(c.name, func(t *testing.T) { testFrozenLane(t, c.engine, c.freeze) })
	}
}

func testFrozenLane(t *testing.T, newEngine func(int) *testkit.Engine, freeze func(e *testkit.Engine, lane int)) {
	synctest.Test(t, func(t *testing.T) {
		const lanes, frozen, capacity = 8, 3, 8 * largestFrame
		e := newEngine(lanes)
		e.Delay(5 * time.Millisecond)
		p := newPublisher(t, e, capacity)
		inLane, others := devicesOf(e, frozen, 200)
		floods, _ := devicesOf(e, frozen, 20*capacity)
		before, refused := load(p, others[:80], 5*time.Second, 0)
		if refused > 0 {
			t.Fatalf("%d frames refused while all is well", refused)
		}
		freeze(e, frozen)
		stuck := publishing(p, inLane[0], 1)
		time.Sleep(2 * stallTime)
		var flooding sync.WaitGroup
		for _, device := range floods {
			flooding.Go(func() { publish(p, device, 1, 2, 3, 4, 5) })
		}
		synctest.Wait()
		if n := p.lanes[frozen].quota.queued.Load(); n > largestFrame || n < largestFrame-5 {
			t.Errorf("the frozen lane holds %d of the queue, its quota is %d", n, largestFrame)
		}
		after, refused := load(p, others[:80], 5*time.Second, 1_000_000)
		if refused > 0 || p.Err() != nil {
			t.Errorf("%d frames of other lanes are refused, the engine's error is %v", refused, p.Err())
		}
		if len(after) == 0 {
			t.Fatal("no frame is stored")
		}
		if was, is := before[len(before)*99/100], after[len(after)*99/100]; is > 2*was {
			t.Errorf("p99 was %v and is %v", was, is)
		}
		e.Release()
		e.FailShard(frozen, nil)
		<-stuck
		flooding.Wait()
		if o, err := publish(p, inLane[0], 1000); err != nil || o.Published != 1 {
			t.Errorf("after the lane goes on: %+v, %v", o, err)
		}
		if n := p.lanes[frozen].quota.queued.Load(); n != 0 || p.Queued() != 0 {
			t.Errorf("%d items of the lane's quota are taken, %d of the queue", n, p.Queued())
		}
	})
}

// A lane that stores may have the whole queue.
func TestLaneThatStoresHasTheWholeQueue(t *testing.T) {
	p := newPublisher(t, testkit.NewEngine(8), 8*largestFrame)
	for range 8 {
		f, err := p.Admit(nil, "a", largestFrame)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Discard(f)
	}
}

// One lane fails and the others work: the process is ready, and the log tells of it once.
func TestReadyWhileAnyLaneStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frozen = 1
		e := testkit.NewEngine(4)
		p := newPublisher(t, e, 4*largestFrame)
		var log testkit.Log
		p.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		inLane, others := devicesOf(e, frozen, 40)
		e.Fail(func(b *engine.Batch) error {
			if len(b.Records) > 0 && e.Lane(b.Records[0].DeviceID) == frozen {
				return errBusy
			}
			return nil
		})
		failing := publishing(p, inLane[0], 1)
		synctest.Wait()
		if !errors.Is(p.Err(), errBusy) {
			t.Errorf("before another lane has stored: %v", p.Err())
		}
		for n := range 10 {
			publish(p, others[0], n)
			if err := p.Err(); err != nil {
				t.Errorf("after %d s: %v", n, err)
			}
			time.Sleep(time.Second)
		}
		e.Fail(nil)
		if r := <-failing; r.err != nil {
			t.Error(r.err)
		}
		if n := log.Count("engine does not store, frames are not acknowledged"); n != 1 {
			t.Errorf("%d lines say that the engine fails", n)
		}
		if n := log.Count("engine stores again"); n != 1 {
			t.Errorf("%d lines say that the engine works", n)
		}
	})
}

// One shard fails, and no other one has anything to write: that says nothing of them, so the process is ready.
func TestReadyWhileOtherShardsHaveNothingToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frozen = 1
		e := testkit.NewShards(3)
		p := newPublisher(t, e, 3*largestFrame)
		p.options.Shards = true
		inLane, _ := devicesOf(e, frozen, 40)
		e.FailShard(frozen, errBusy)
		failing := publishing(p, inLane[0], 1)
		time.Sleep(time.Second)
		if err := p.Err(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		e.FailShard(frozen, nil)
		if r := <-failing; r.err != nil {
			t.Error(r.err)
		}
	})
}

// What fails behind an item of its device is stored behind it, also when both are of other frames.
func TestOrderOfADeviceAfterAnItemFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Hold()
		all := []<-chan result{publishing(p, "first", 0)}
		for n := range 5 {
			synctest.Wait()
			all = append(all, publishing(p, "a", 2*n, 2*n+1))
		}
		synctest.Wait()
		failed := false
		e.Fail(func(b *engine.Batch) error {
			for i, r := range b.Records {
				if string(r.ID) == payload("a", 3) && !failed {
					failed = true
					b.Results[i].Err = errBusy
				}
			}
			return nil
		})
		e.Release()
		want := []string{payload("first", 0)}
		for n := range 10 {
			want = append(want, payload("a", n))
		}
		for _, r := range all {
			if r := <-r; r.err != nil {
				t.Error(r.err)
			}
		}
		wantStored(t, e, want...)
	})
}
