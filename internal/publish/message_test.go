package publish

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// admitMessages returns a frame of the device with these messages.
func admitMessages(t *testing.T, p *Publisher, device string, texts ...string) *Frame {
	t.Helper()
	f, err := p.Admit(nil, device, len(texts))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		f.Messages = append(f.Messages, engine.Message{DeviceID: device, Codec: "12", Payload: []byte(text)})
	}
	return f
}

func publishMessages(t *testing.T, p *Publisher, device string, texts ...string) (Outcome, error) {
	t.Helper()
	return p.Publish(admitMessages(t, p, device, texts...))
}

func wantMessages(t *testing.T, e *testkit.Engine, want ...string) {
	t.Helper()
	got := e.Messages()
	if len(got) != len(want) {
		t.Fatalf("%d messages are stored, want %d", len(got), len(want))
	}
	for i, m := range got {
		if string(m.Payload) != want[i] {
			t.Errorf("message %d is %q, want %q", i, m.Payload, want[i])
		}
	}
}

// A card that is held twice before the reader is read twice.
func TestEqualMessagesAreAllStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		for range 3 {
			if o, err := publishMessages(t, p, "a", "card", "card"); err != nil || o != (Outcome{Messages: 2}) {
				t.Errorf("%+v, %v", o, err)
			}
		}
		wantMessages(t, e, "card", "card", "card", "card", "card", "card")
	})
}

// A frame is written again because one of its messages failed; those that were stored are not stored twice.
func TestMessageIsStoredOnceBesideOneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		failures := 3
		e.Fail(func(b *engine.Batch) error {
			if failures--; failures >= 0 {
				_, _, messages := b.ByKind()
				messages[len(messages)-1].Err = errBusy
			}
			return nil
		})
		if o, err := publishMessages(t, p, "a", "1", "2", "2"); err != nil || o != (Outcome{Messages: 3}) {
			t.Errorf("%+v, %v", o, err)
		}
		wantMessages(t, e, "1", "2", "2")
	})
}

// No device resends a message, so waiting for it does not end at the timeout, and what was on its way is not
// sent again.
func TestMessageWaitsForAFrozenEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Hold()
		results := make(chan error)
		for _, device := range []string{"a", "b"} {
			f := admitMessages(t, p, device, device)
			if err := p.Submit(f); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := p.WaitWhile(f, func() bool { return true })
				results <- err
			}()
			synctest.Wait()
		}
		time.Sleep(10 * testTimeout) // virtual
		e.Release()
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		wantMessages(t, e, "a", "b")
	})
}

// When nobody wants it any more, a message that waits is given up: at the timeout, or within a second after it.
func TestMessageIsGivenUpWhenItsConnectionHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { return errBusy })
		start := time.Now()
		ended := start.Add(3 * testTimeout)
		f := admitMessages(t, p, "a", "1")
		if err := p.Submit(f); err != nil {
			t.Fatal(err)
		}
		_, err := p.WaitWhile(f, func() bool { return time.Now().Before(ended) })
		if took := time.Since(start); !errors.Is(err, ErrTimeout) || took < 3*testTimeout || took > 3*testTimeout+askEvery {
			t.Errorf("%v after %v", err, took)
		}
		e.Fail(nil)
		time.Sleep(2 * maxBackoff) // virtual: the next attempt finds the frame abandoned
		synctest.Wait()
		wantMessages(t, e)
		if p.Queued() != 0 {
			t.Errorf("%d queued", p.Queued())
		}
	})
}

// Messages count in the queue as records do, and come in the order of their device's frames.
func TestMessagesBetweenRecordsOfADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 4)
		e.Hold()
		f := admitMessages(t, p, "a", "1", "2", "3")
		if err := p.Submit(f); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Admit(nil, "b", 2); !errors.Is(err, ErrOverflow) {
			t.Errorf("three messages and two records are in a queue of four: %v", err)
		}
		e.Release()
		if o, err := p.Wait(f); err != nil || o != (Outcome{Messages: 3}) {
			t.Errorf("%+v, %v", o, err)
		}
		wantMessages(t, e, "1", "2", "3")
	})
}
