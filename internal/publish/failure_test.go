package publish

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestHungEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Hold()
		inFlight := publishing(p, "a", 1)
		synctest.Wait()
		waiting := publishing(p, "b", 1)
		start := time.Now()
		for _, r := range []<-chan result{inFlight, waiting} {
			if r := <-r; !errors.Is(r.err, ErrTimeout) {
				t.Errorf("%+v", r)
			}
		}
		if took := time.Since(start); took != testTimeout {
			t.Errorf("refused after %v", took)
		}
		e.Release()
		synctest.Wait()
		// What was on its way is stored late, so its resend is a duplicate. What was still waiting had been
		// refused and is not written at all until it is sent again.
		wantStored(t, e, payload("a", 1))
		if late := testutil.ToFloat64(p.options.Metrics.late); late != 1 {
			t.Errorf("%v stored late", late)
		}
		if o, err := publish(p, "a", 1); err != nil || o != (Outcome{Duplicates: 1}) {
			t.Errorf("resend of the late one: %+v, %v", o, err)
		}
		if o, err := publish(p, "b", 1); err != nil || o != (Outcome{Published: 1}) {
			t.Errorf("resend of the dropped one: %+v, %v", o, err)
		}
		if p.Queued() != 0 {
			t.Errorf("%d queued", p.Queued())
		}
	})
}

func TestTransientFailureIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		failures := 5
		e.Fail(func(*engine.Batch) error {
			if failures--; failures >= 0 {
				return errBusy
			}
			return nil
		})
		if o, err := publish(p, "a", 1, 2); err != nil || o != (Outcome{Published: 2}) {
			t.Fatalf("%+v, %v", o, err)
		}
		wantStored(t, e, payload("a", 1), payload("a", 2))
		if p.Err() != nil {
			t.Errorf("still failing: %v", p.Err())
		}
	})
}

func TestTransientFailureEndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { return errBusy })
		if _, err := publish(p, "a", 1); !errors.Is(err, ErrTimeout) {
			t.Errorf("%v", err)
		}
		if !errors.Is(p.Err(), errBusy) {
			t.Errorf("failure %v", p.Err())
		}
		e.Fail(nil)
		time.Sleep(2 * maxBackoff) // virtual: the next attempt finds the frame abandoned
		synctest.Wait()
		wantStored(t, e)
		if p.Queued() != 0 {
			t.Errorf("%d queued", p.Queued())
		}
	})
}

func TestPermanentFailureRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { return errRefused })
		start := time.Now()
		if _, err := publish(p, "a", 1); !errors.Is(err, errRefused) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		e.Fail(nil)
		if o, err := publish(p, "a", 1); err != nil || o != (Outcome{Published: 1}) {
			t.Errorf("after the cure: %+v, %v", o, err)
		}
	})
}

// TestAmbiguousFailure loses the answer to a batch that was written. It is written again as it was, with its ID,
// even though its session has gone; so the record is there once, and its resend a duplicate.
func TestAmbiguousFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		attempts, id := 0, uint64(0)
		e.Fail(func(b *engine.Batch) error {
			if attempts++; attempts == 1 {
				id = b.ID
			}
			if b.ID != id || id == 0 {
				t.Errorf("batch %d is written again as %d", id, b.ID)
			}
			if attempts < 100 {
				return errLost
			}
			return nil
		})
		if _, err := publish(p, "a", 1); !errors.Is(err, ErrTimeout) {
			t.Errorf("%v", err)
		}
		if o, err := publish(p, "a", 2); !errors.Is(err, ErrTimeout) {
			t.Errorf("behind the batch in doubt: %+v, %v", o, err)
		}
		e.Fail(nil)
		if o, err := publish(p, "a", 1); err != nil || o != (Outcome{Duplicates: 1}) {
			t.Errorf("resend: %+v, %v", o, err)
		}
		wantStored(t, e, payload("a", 1))
	})
}

func TestOneItemFails(t *testing.T) {
	for _, fault := range []*engine.Error{errBusy, errRefused} {
		t.Run(fault.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testkit.NewEngine(1)
				p := newPublisher(t, e, 100)
				e.Hold()
				first := publishing(p, "first", 0)
				synctest.Wait()
				// One batch of three frames; the second record of b fails once.
				a, b, c := publishing(p, "a", 1, 2), publishing(p, "b", 1, 2), publishing(p, "c", 1)
				synctest.Wait()
				failed := false
				e.Fail(func(batch *engine.Batch) error {
					for i, r := range batch.Records {
						if string(r.ID) == payload("b", 2) && !failed {
							failed = true
							batch.Results[i].Err = fault
						}
					}
					return nil
				})
				e.Release()
				<-first
				for name, r := range map[string]<-chan result{"a": a, "c": c} {
					if r := <-r; r.err != nil {
						t.Errorf("%s: %v", name, r.err)
					}
				}
				r := <-b
				if fault == errRefused && !errors.Is(r.err, errRefused) {
					t.Errorf("b: %+v", r)
				}
				if fault == errBusy && (r.err != nil || r.Outcome != Outcome{Published: 1, Duplicates: 1}) {
					t.Errorf("b: %+v", r)
				}
				if o, err := publish(p, "b", 1, 2); err != nil || o.Published+o.Duplicates != 2 {
					t.Errorf("resend: %+v, %v", o, err)
				}
				counts := map[string]int{}
				for _, r := range e.Records() {
					counts[r.Payload]++
				}
				for _, id := range []string{payload("b", 1), payload("b", 2)} {
					if counts[id] != 1 {
						t.Errorf("%s stored %d times", id, counts[id])
					}
				}
			})
		})
	}
}

// TestCopyOfAFailedItemIsNotADuplicate: two connections of one device send the same record, both copies get into
// one batch, and the write of the first fails. The second must not be taken for stored.
func TestCopyOfAFailedItemIsNotADuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Hold()
		first := publishing(p, "first", 0)
		synctest.Wait()
		one := publishing(p, "a", 1)
		synctest.Wait()
		two := publishing(p, "a", 1)
		synctest.Wait()
		e.Fail(func(b *engine.Batch) error {
			for i, r := range b.Records {
				if r.DeviceID == "a" {
					b.Results[i].Err = errRefused
				}
			}
			return nil
		})
		e.Release()
		<-first
		for i, r := range []<-chan result{one, two} {
			if r := <-r; r.err == nil {
				t.Errorf("copy %d confirmed: %+v", i, r)
			}
		}
		wantStored(t, e, payload("first", 0))
	})
}

// TestItemRefusedForWhatItIs: beside it in the batch are another record of the device, a copy of it, and a frame of
// another device with a duplicate. Only the frames with this record fail, and nothing speaks against the engine.
func TestItemRefusedForWhatItIs(t *testing.T) {
	for _, why := range []error{engine.ErrTooLarge, engine.ErrMovedOn} {
		t.Run(why.Error(), func(t *testing.T) { refusedForWhatItIs(t, why) })
	}
}

func refusedForWhatItIs(t *testing.T, why error) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		if _, err := publish(p, "b", 7); err != nil {
			t.Fatal(err)
		}
		e.Hold()
		first := publishing(p, "first", 0)
		synctest.Wait()
		large := publishing(p, "a", 1, 2)
		synctest.Wait()
		copied := publishing(p, "a", 1, 2)
		synctest.Wait()
		other := publishing(p, "b", 7, 8)
		synctest.Wait()
		e.Fail(func(b *engine.Batch) error {
			for i, r := range b.Records {
				if r.DeviceID == "a" && r.Timestamp == 1 {
					b.Results[i].Err = &engine.Error{Err: fmt.Errorf("record: %w", why)}
				}
			}
			return nil
		})
		e.Release()
		<-first
		for i, r := range []<-chan result{large, copied} {
			if r := <-r; !errors.Is(r.err, why) {
				t.Errorf("frame %d of the device: %+v", i, r)
			}
		}
		if r := <-other; r.err != nil || r.Outcome != (Outcome{Published: 1, Duplicates: 1}) {
			t.Errorf("the other device's frame: %+v", r)
		}
		if err := p.Err(); err != nil {
			t.Errorf("the engine counts as failing: %v", err)
		}
		wantStored(t, e, payload("b", 7), payload("first", 0), payload("a", 2), payload("b", 8))
	})
}

func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(2)
		p := newPublisher(t, e, 100)
		publish(p, "a", 1, 2)
		if o, err := publish(p, "a", 2, 3); err != nil || o != (Outcome{Published: 1, Duplicates: 1}) {
			t.Errorf("%+v, %v", o, err)
		}
		if o, err := publish(p, "a", 4, 4); err != nil || o != (Outcome{Published: 1, Duplicates: 1}) {
			t.Errorf("twice in one frame: %+v, %v", o, err)
		}
		if o, err := publish(p, "b", 1); err != nil || o != (Outcome{Published: 1}) {
			t.Errorf("the same bytes of another device: %+v, %v", o, err)
		}
		time.Sleep(dedupTime - time.Second)
		if o, _ := publish(p, "a", 1); o.Duplicates != 1 {
			t.Errorf("just inside the window: %+v", o)
		}
	})
}

func TestMemoryOfDuplicatesIsBounded(t *testing.T) {
	now := time.Unix(1, 0)
	r := keyWindow{limit: 100}
	for n := range 10_000 {
		r.rotate(now)
		r.add(key{0, uint64(n)})
		if n := r.young.count + r.old.count; n > 201 {
			t.Fatalf("%d keys", n)
		}
	}
	if !r.add(key{0, 0}) || r.add(key{0, 9_999}) {
		t.Error("the oldest is known, or the newest is not")
	}
	r.rotate(now.Add(dedupTime))
	r.rotate(now.Add(2 * dedupTime))
	if !r.add(key{0, 9_999}) {
		t.Error("known after two windows")
	}
}

func TestKeySetAgainstMap(t *testing.T) {
	var s keySet
	want := make(map[key]bool)
	// Few distinct keys and homes, so that probes run long and wrap around.
	for step := range 200_000 {
		k := key{uint64(step%3) << 1, uint64(step*step%701) << 3 & 0x3ff}
		if step%5 < 3 {
			if s.add(k) == want[k] {
				t.Fatalf("step %d: add(%v) with known %v", step, k, want[k])
			}
			want[k] = true
		} else {
			s.remove(k)
			delete(want, k)
		}
		if s.count != len(want) {
			t.Fatalf("step %d: %d keys, want %d", step, s.count, len(want))
		}
	}
	for k := range want {
		if !s.has(k) {
			t.Errorf("%v is lost", k)
		}
	}
}

// TestItemFailuresBackOffToo: an engine that answers, and refuses every item for a reason that passes, is not asked
// more often than one that fails as a whole.
func TestItemFailuresBackOffToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(b *engine.Batch) error {
			for i := range b.Results {
				b.Results[i].Err = errBusy
			}
			return nil
		})
		if _, err := publish(p, "a", 1); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if n := e.Stores(); n > 40 {
			t.Errorf("%d writes within %v", n, testTimeout)
		}
	})
}

// TestRefusedFramesHoldNoRoom: in a long failure of the engine, frames that were refused make way for new ones.
func TestRefusedFramesHoldNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 10)
		e.Fail(func(*engine.Batch) error { return errLost })
		inFlight := publishing(p, "a", 1)
		synctest.Wait()
		waiting := publishing(p, "b", 1, 2, 3)
		for _, r := range []<-chan result{inFlight, waiting} {
			if r := <-r; !errors.Is(r.err, ErrTimeout) {
				t.Errorf("%+v", r)
			}
		}
		time.Sleep(2 * maxBackoff)
		if n := p.Queued(); n != 1 {
			t.Errorf("%d queued, want the one whose fate is open", n)
		}
		// Nobody waits for that one, so a stop does not either.
		start := time.Now()
		if err := p.Drain(t.Context()); err != nil || time.Since(start) > 2*maxBackoff {
			t.Errorf("drained after %v, %v", time.Since(start), err)
		}
	})
}

// TestFailureIsForgottenWithoutTraffic: a failed write speaks against the engine for a while and not for ever, because
// without traffic nothing else would take it back.
func TestFailureIsForgottenWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { return errRefused })
		publish(p, "a", 1)
		time.Sleep(healthWindow - time.Millisecond)
		if !errors.Is(p.Err(), errRefused) {
			t.Errorf("failure %v", p.Err())
		}
		time.Sleep(time.Millisecond)
		if err := p.Err(); err != nil {
			t.Errorf("still %v", err)
		}
	})
}
