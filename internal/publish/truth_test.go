package publish

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestWhatIsLostIsStoredAgain: what is remembered counts only as long as the engine has it.
func TestWhatIsLostIsStoredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		both := func() Outcome {
			f, err := p.Admit(nil, "a", 2)
			if err != nil {
				t.Fatal(err)
			}
			fill(f, 3)
			f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{DeviceID: "a", Frame: []byte{1}})
			o, err := p.Publish(f)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		if o, err := publish(p, "a", 1, 2); err != nil || o != (Outcome{Published: 2}) {
			t.Fatalf("%+v, %v", o, err)
		}
		both()
		e.Lose()
		if o, err := publish(p, "a", 1, 2); err != nil || o != (Outcome{Published: 2}) {
			t.Errorf("resend of what is lost: %+v, %v", o, err)
		}
		if o := both(); o != (Outcome{Published: 1, DeadLettered: 1}) {
			t.Errorf("resend of a record and a dead letter that are lost: %+v", o)
		}
		wantStored(t, e, payload("a", 1), payload("a", 2), payload("a", 3))
		if n := len(e.DeadLetters()); n != 1 {
			t.Errorf("%d dead letters", n)
		}
		for range 3 {
			if o, err := publish(p, "a", 1, 2); err != nil || o != (Outcome{Duplicates: 2}) {
				t.Errorf("resend of what is there: %+v, %v", o, err)
			}
		}
		wantStored(t, e, payload("a", 1), payload("a", 2), payload("a", 3))
		if n := testutil.ToFloat64(p.options.Metrics.lost.WithLabelValues("record")); n != 1 {
			t.Errorf("%v losses counted", n)
		}
	})
}

// TestLossIsNoticedBesideNewRecords: a frame with a record that was stored and lost, and a new one.
func TestLossIsNoticedBesideNewRecords(t *testing.T) {
	e := testkit.NewEngine(1)
	p := newPublisher(t, e, 100)
	if _, err := publish(p, "a", 1); err != nil {
		t.Fatal(err)
	}
	e.Lose()
	if o, err := publish(p, "a", 1, 2); err != nil || o.Published+o.Duplicates != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	stored := map[string]bool{}
	for _, r := range e.Records() {
		stored[r.Payload] = true
	}
	if !stored[payload("a", 1)] || !stored[payload("a", 2)] {
		t.Errorf("stored %v", stored)
	}
}

// TestLossThatNeverEndsStopsNobody: an engine that loses something all the time, or cannot tell, gets everything again.
func TestLossThatNeverEndsStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { go e.Lose(); return nil })
		for range 5 {
			if o, err := publish(p, "a", 1, 2); err != nil || o.Published+o.Duplicates != 2 {
				t.Errorf("%+v, %v", o, err)
			}
			synctest.Wait()
		}
		e.Fail(nil)
		if _, err := publish(p, "a", 1, 2); err != nil {
			t.Error(err)
		}
		wantStored(t, e, payload("a", 1), payload("a", 2))
	})
}

// TestNothingIsAcknowledgedFromMemoryAlone: a resend waits for the engine as a new record does.
func TestNothingIsAcknowledgedFromMemoryAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		if _, err := publish(p, "a", 1); err != nil {
			t.Fatal(err)
		}
		e.Hold()
		if o, err := publish(p, "a", 1); !errors.Is(err, ErrTimeout) {
			t.Errorf("while the engine hangs: %+v, %v", o, err)
		}
		e.Release()
		e.Fail(func(*engine.Batch) error { return errBusy })
		if o, err := publish(p, "a", 1); !errors.Is(err, ErrTimeout) {
			t.Errorf("while the engine fails: %+v, %v", o, err)
		}
	})
}
