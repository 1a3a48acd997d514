package publish

import (
	"errors"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// However much comes in frames of a quota, what came in others is known again.
func TestFramesOfAShareAreRememberedApart(t *testing.T) {
	m, own, shared := newDedupWindow(80), &Frame{}, &Frame{quota: &Quota{}}
	now := time.Unix(1, 0)
	for i := range uint64(10) {
		m.rotate(now)
		if !m.add(own, key{1, i}) {
			t.Errorf("record %d is not new", i)
		}
	}
	for i := range uint64(1000) {
		m.rotate(now)
		m.add(shared, key{2, i})
	}
	if m.add(shared, key{2, 999}) {
		t.Error("a quota's latest record is not known")
	}
	if n := m.quota.young.count + m.quota.old.count; n > 2*m.quota.limit {
		t.Errorf("%d records of a quota are known, want %d at most", n, 2*m.quota.limit)
	}
	for i := range uint64(10) {
		if m.add(own, key{1, i}) {
			t.Errorf("record %d is not known any more", i)
		}
		if m.add(shared, key{1, i}) {
			t.Errorf("record %d is not known when it comes in a quota", i)
		}
	}
	m.remove(key{1, 1})
	if !m.add(shared, key{1, 1}) || m.add(own, key{1, 1}) {
		t.Error("what is forgotten and comes in a quota is not new once")
	}
}

// A record that comes both ways at once and cannot be stored is forgotten by both: it is not acknowledged to either.
func TestRecordOfAShareAndOfNone(t *testing.T) {
	e := testkit.NewEngine(1)
	p := newPublisher(t, e, 1000)
	quota := p.Quota(4)
	e.Hold()
	e.Fail(func(*engine.Batch) error { return &engine.Error{Err: errors.New("down")} })
	waiting := []<-chan result{publishing(p, "a", 1), publishingWithin(p, quota, "a", 1), publishing(p, "a", 1)}
	e.Release()
	for i, done := range waiting {
		if r := <-done; r.err == nil {
			t.Errorf("publication %d is acknowledged", i)
		}
	}
	e.Fail(nil)
	if r := <-publishingWithin(p, quota, "a", 1); r.err != nil || r.Published != 1 {
		t.Errorf("%+v", r)
	}
	if o, err := publish(p, "a", 1); err != nil || o.Duplicates != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

func publishingWithin(p *Publisher, quota *Quota, device string, numbers ...int) <-chan result {
	done := make(chan result, 1)
	go func() {
		f, err := p.Admit(quota, device, len(numbers))
		if err != nil {
			done <- result{err: err}
			return
		}
		fill(f, numbers...)
		o, err := p.Publish(f)
		done <- result{o, err}
	}()
	return done
}
