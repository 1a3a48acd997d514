package publish

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// doubts notes for each batch why its records may be stored already.
type doubts struct {
	mu  sync.Mutex
	all []engine.Doubt
}

func (d *doubts) note(b *engine.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range b.Records {
		d.all = append(d.all, r.Doubt)
	}
	return nil
}

func (d *doubts) want(t *testing.T, want ...engine.Doubt) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.all, want) {
		t.Errorf("records are in doubt for %v, want %v", d.all, want)
	}
	d.all = nil
}

// TestDoubt has the engine look for a frame whose device may have had it stored elsewhere: one of which its session
// says so, one of which a part is remembered, one that has waited long, and every one after the process has stood
// still. A new device's frame does not become doubtful by waiting: nothing tells it from one that has moved on.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := testkit.NewEngine(1), &doubts{}
		e.Fail(d.note)
		p := newPublisher(t, e, 1000)
		var came time.Time
		send := func(recall bool, numbers ...int) {
			f, err := p.Admit(nil, "a", len(numbers))
			if err != nil {
				t.Error(err)
				return
			}
			fill(f, numbers...)
			f.Recall, f.Came = recall, came
			if _, err := p.Publish(f); err != nil {
				t.Error(err)
			}
		}
		send(false, 1)
		send(true, 2)
		send(false, 3)
		send(false, 3, 4)
		send(true, 4, 5, 6)
		both := engine.Arrived | engine.Repeated
		d.want(t, 0, engine.Arrived, 0, engine.Repeated, both, both)

		e.Hold()
		var sent sync.WaitGroup
		for n, recall := range []bool{false, false, true} {
			sent.Go(func() { send(recall, 10+n) })
			synctest.Wait()
		}
		time.Sleep(2 * longWait)
		e.Release()
		sent.Wait()
		send(false, 20)
		d.want(t, 0, engine.Waited, engine.Arrived, 0)

		p.pulse.ended.Store(int64(time.Since(p.pulse.began)))
		send(false, 21)
		send(true, 22)
		came = time.Now()
		send(true, 23) // of a connection that has begun since
		came = time.Time{}
		time.Sleep(2 * aftermath)
		send(false, 24)
		d.want(t, engine.Waited, engine.Arrived|engine.Waited, engine.Arrived, 0)
	})
}

func TestStandstill(t *testing.T) {
	p := pulse{began: time.Now()}
	at := func(d time.Duration) bool { return !p.stoodStill(p.began.Add(d)).IsZero() }
	p.beat(int64(time.Second))
	if at(time.Second) || at(2*time.Second) {
		t.Error("a process that runs stood still")
	}
	if !at(5 * time.Second) {
		t.Error("the standstill is not noticed before the next beat")
	}
	p.beat(int64(5 * time.Second))
	if !at(6*time.Second) || !at(6*time.Second+aftermath) { // no beat since
		t.Error("the standstill is forgotten")
	}
	for s := 6 * time.Second; s < aftermath+10*time.Second; s += time.Second {
		p.beat(int64(s))
	}
	if at(aftermath + 10*time.Second) {
		t.Error("the standstill is remembered for ever")
	}
}
