package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testTimeout  = 20 * time.Second
	largestFrame = 255
)

func newPublisher(t testing.TB, e engine.Engine, capacity int) *Publisher {
	t.Helper()
	p := New(Options{
		Engine: e, Capacity: capacity, LargestFrame: largestFrame, Timeout: testTimeout,
		Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(p.Close)
	return p
}

// fill puts records of the device into the frame; the same number makes the same record.
func fill(f *Frame, numbers ...int) {
	for _, n := range numbers {
		start := len(f.Buffer)
		f.Buffer = fmt.Appendf(f.Buffer, "%s-%d-%016x", f.DeviceID, n, n)
		id := f.Buffer[start:]
		f.Records = append(f.Records, engine.Record{
			DeviceID: f.DeviceID, Codec: "8", Timestamp: int64(n), Hash: uint64(n), ID: id, Payload: id,
		})
	}
}

// publish admits and publishes one frame of the records.
func publish(p *Publisher, device string, numbers ...int) (Outcome, error) {
	f, err := p.Admit(nil, device, len(numbers))
	if err != nil {
		return Outcome{}, err
	}
	fill(f, numbers...)
	return p.Publish(f)
}

// publishing publishes in the background.
func publishing(p *Publisher, device string, numbers ...int) <-chan result {
	done := make(chan result, 1)
	go func() {
		outcome, err := publish(p, device, numbers...)
		done <- result{outcome, err}
	}()
	return done
}

type result struct {
	Outcome
	err error
}

func wantStored(t *testing.T, e *testkit.Engine, want ...string) {
	t.Helper()
	var got []string
	for _, r := range e.Records() {
		got = append(got, r.Payload)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored %v, want %v", got, want)
	}
}

func payload(device string, n int) string { return fmt.Sprintf("%s-%d-%016x", device, n, n) }

func TestPublishStores(t *testing.T) {
	e := testkit.NewEngine(1)
	p := newPublisher(t, e, 1000)
	if o, err := publish(p, "a", 1, 2, 3); err != nil || o != (Outcome{Published: 3}) {
		t.Fatalf("%+v, %v", o, err)
	}
	wantStored(t, e, payload("a", 1), payload("a", 2), payload("a", 3))
	if n := p.Queued(); n != 0 {
		t.Errorf("%d records queued", n)
	}
}

func TestEmptyFrame(t *testing.T) {
	e := testkit.NewEngine(1)
	if o, err := publish(newPublisher(t, e, 1000), "a"); err != nil || o != (Outcome{}) {
		t.Fatalf("%+v, %v", o, err)
	}
	if e.Stores() != 0 {
		t.Error("an empty frame was written")
	}
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 1000)
		e.Hold()
		first := publishing(p, "first", 1)
		synctest.Wait() // it is on its way to the engine
		var rest []<-chan result
		for i := range 50 {
			rest = append(rest, publishing(p, fmt.Sprint("device", i), 1, 2))
		}
		synctest.Wait()
		e.Release()
		<-first
		for _, r := range rest {
			if r := <-r; r.err != nil || r.Published != 2 {
				t.Errorf("%+v", r)
			}
		}
		if e.Stores() != 2 {
			t.Errorf("%d writes, want 2: the first frame, and all that gathered meanwhile", e.Stores())
		}
	})
}

func TestOrderOfADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(4)
		p := newPublisher(t, e, 1000)
		e.Hold()
		var all []<-chan result
		var want []string
		for n := range 40 {
			all = append(all, publishing(p, "a", n))
			want = append(want, payload("a", n))
			synctest.Wait()
		}
		e.Release()
		for _, r := range all {
			<-r
		}
		wantStored(t, e, want...)
	})
}

func TestAdmissionIsByWholeFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 10)
		e.Hold()
		first := publishing(p, "a", 1, 2, 3, 4, 5, 6)
		synctest.Wait()
		if _, err := publish(p, "b", 1, 2, 3, 4, 5); !errors.Is(err, ErrOverflow) {
			t.Errorf("a frame of 5 with room for 4: %v", err)
		}
		second := publishing(p, "b", 1, 2, 3, 4)
		synctest.Wait()
		if n := p.Queued(); n != 10 {
			t.Errorf("%d queued, want 10", n)
		}
		e.Release()
		if r := <-first; r.err != nil {
			t.Error(r.err)
		}
		if r := <-second; r.err != nil {
			t.Error(r.err)
		}
		if r := <-publishing(p, "c", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10); r.err != nil {
			t.Errorf("a frame of the whole capacity: %v", r.err)
		}
	})
}

func TestDiscardGivesRoomBack(t *testing.T) {
	p := newPublisher(t, testkit.NewEngine(1), 10)
	f, err := p.Admit(nil, "a", 10)
	if err != nil {
		t.Fatal(err)
	}
	p.Discard(f)
	if p.Queued() != 0 {
		t.Errorf("%d queued", p.Queued())
	}
}

func TestBatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		largest := 0
		e.Fail(func(b *engine.Batch) error {
			largest = max(largest, len(b.Records))
			return nil
		})
		p := newPublisher(t, e, 100_000)
		e.Hold()
		var all []<-chan result
		for i := range 3 * engine.MaxBatchItems / 200 {
			numbers := make([]int, 200)
			for j := range numbers {
				numbers[j] = j
			}
			all = append(all, publishing(p, fmt.Sprint(i), numbers...))
		}
		synctest.Wait()
		e.Release()
		for _, r := range all {
			if r := <-r; r.err != nil || r.Published != 200 {
				t.Errorf("%+v", r)
			}
		}
		if largest > engine.MaxBatchItems || largest < engine.MaxBatchItems/2 {
			t.Errorf("largest batch %d records", largest)
		}
	})
}

func TestDeadLettersAreStoredWithTheirFrame(t *testing.T) {
	e := testkit.NewEngine(1)
	p := newPublisher(t, e, 10)
	send := func() Outcome {
		f, err := p.Admit(nil, "a", 2)
		if err != nil {
			t.Fatal(err)
		}
		fill(f, 1)
		f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{DeviceID: "a", Reason: "timestamp", Frame: []byte{1, 2}})
		o, err := p.Publish(f)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := send(); o != (Outcome{Published: 1, DeadLettered: 1}) {
		t.Errorf("%+v", o)
	}
	if o := send(); o != (Outcome{Duplicates: 1, DeadLettered: 1}) {
		t.Errorf("sent again: %+v", o)
	}
	dead := e.DeadLetters()
	if len(dead) != 1 || !bytes.Equal(dead[0].Frame, []byte{1, 2}) || dead[0].Reason != "timestamp" {
		t.Errorf("dead letters %+v", dead)
	}
}

func TestDrainWaitsForWhatIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 10)
		e.Hold()
		held := publishing(p, "a", 1)
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained with a held frame: %v", err)
		}
		if _, err := publish(p, "b", 1); !errors.Is(err, ErrClosed) {
			t.Errorf("published while draining: %v", err)
		}
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		e.Release()
		if r := <-held; r.err != nil {
			t.Errorf("held frame: %v", r.err)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestCloseRefusesWhatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(2)
		p := newPublisher(t, e, 100)
		e.Hold()
		var all []<-chan result
		for i := range 10 {
			all = append(all, publishing(p, fmt.Sprint(i), 1))
			synctest.Wait()
		}
		p.Close()
		for _, r := range all {
			if r := <-r; !errors.Is(r.err, ErrClosed) {
				t.Errorf("%+v", r)
			}
		}
		wantStored(t, e)
	})
}

// TestBooksBalanceUnderLoad publishes from many goroutines against an engine that fails in every way at random.
func TestBooksBalanceUnderLoad(t *testing.T) {
	e := testkit.NewEngine(3)
	p := newPublisher(t, e, 300)
	failing := failRandomly()
	e.Fail(failing)
	var stored, wg = newTally(), sync.WaitGroup{}
	for s := range 40 {
		wg.Go(func() {
			device := fmt.Sprint("device", s%20) // two sessions each: a take-over with the older one still at work
			for n := range 60 {
				for {
					_, err := publish(p, device, 2*n, 2*n+1)
					if err == nil {
						stored.add(payload(device, 2*n), payload(device, 2*n+1))
						break
					}
				}
			}
		})
	}
	wg.Wait()
	e.Fail(nil)
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, r := range e.Records() {
		seen[r.Payload]++
	}
	for _, id := range stored.all() {
		if seen[id] != 1 {
			t.Errorf("%s was confirmed and is stored %d times", id, seen[id])
		}
	}
	if len(seen) != 20*120 {
		t.Errorf("%d records stored, want %d", len(seen), 20*120)
	}
}

func TestPublishAfterTheEndIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, testkit.NewEngine(1), 100)
		f, err := p.Admit(nil, "a", 1)
		if err != nil {
			t.Fatal(err)
		}
		fill(f, 1)
		p.Close()
		start := time.Now()
		if _, err := p.Publish(f); !errors.Is(err, ErrClosed) || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if p.Queued() != 0 {
			t.Errorf("%d queued", p.Queued())
		}
	})
}

// TestMemoryIsBoundedBeforeRecordsAre: few records that are very large fill the queue as well.
func TestMemoryIsBoundedBeforeRecordsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 10_000)
		e.Hold()
		send := func(device string) <-chan result {
			done := make(chan result, 1)
			go func() {
				f, err := p.Admit(nil, device, 1)
				if err == nil {
					fill(f, 1)
					f.Buffer = append(f.Buffer, make([]byte, 1<<20)...)
					_, err = p.Publish(f)
				}
				done <- result{err: err}
			}()
			return done
		}
		overflows := 0
		for i := range 200 {
			r := send(fmt.Sprint(i))
			synctest.Wait()
			select {
			case r := <-r:
				if !errors.Is(r.err, ErrOverflow) {
					t.Fatal(r.err)
				}
				overflows++
			default:
			}
		}
		if overflows < 100 || overflows > 150 {
			t.Errorf("%d of 200 frames of 1 MiB overflow", overflows)
		}
		e.Release()
		synctest.Wait()
		if n := p.bytes.Load(); n != 0 || p.Queued() != 0 {
			t.Errorf("%d bytes and %d records left", n, p.Queued())
		}
	})
}
