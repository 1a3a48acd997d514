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

// recalls notes for each batch whether the engine is to look for its records.
type recalls struct {
	mu  sync.Mutex
	all []bool
}

func (r *recalls) note(b *engine.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, b.Recall)
	return nil
}

func (r *recalls) want(t *testing.T, want ...bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all, want) {
		t.Errorf("batches that are looked for: %v, want %v", r.all, want)
	}
	r.all = nil
}

// TestRecall has the engine look for a frame whose device may have had it stored elsewhere: one of which its session
// says so, one that has waited long, and every one after the process has stood still.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, r := testkit.NewEngine(1), &recalls{}
		e.Fail(r.note)
		p := newPublisher(t, e, 1000)
		send := func(number int, recall bool) {
			f, err := p.Admit(nil, "a", 1)
			if err != nil {
				t.Fatal(err)
			}
			fill(f, number)
			f.Recall = recall
			if _, err := p.Publish(f); err != nil {
				t.Error(err)
			}
		}
		send(1, false)
		send(2, true)
		send(3, false)
		r.want(t, false, true, false)

		e.Hold()
		first := publishing(p, "a", 4)
		synctest.Wait()
		second := publishing(p, "a", 5)
		time.Sleep(2 * longWait)
		e.Release()
		<-first
		<-second
		send(6, false)
		r.want(t, false, true, false)

		p.pulse.ended.Store(int64(time.Since(p.pulse.began)))
		send(7, false)
		time.Sleep(2 * aftermath)
		send(8, false)
		r.want(t, true, false)
	})
}

func TestStandstill(t *testing.T) {
	p := pulse{began: time.Now()}
	at := func(d time.Duration) bool { return p.stoodStill(p.began.Add(d)) }
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
