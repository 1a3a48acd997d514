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
				_, _, err := p.WaitWhile(f, func() bool { return true })
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

// submitMessages submits a frame of the device with these messages.
func submitMessages(t *testing.T, p *Publisher, device string, texts ...string) *Frame {
	t.Helper()
	f := admitMessages(t, p, device, texts...)
	if err := p.Submit(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// detach leaves the frame to its lane. The channel has its outcome.
func detach(t *testing.T, p *Publisher, f *Frame, quota *Quota) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	if !p.Detach(f, quota, func(o Outcome, err error) { done <- result{o, err} }) {
		t.Fatal("not detached")
	}
	return done
}

// Whether anybody still waits is asked from the first second on, and not only after the publish timeout.
func TestNobodyWaitsForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 100)
		e.Fail(func(*engine.Batch) error { return errBusy })
		for _, ended := range []time.Duration{0, 3 * testTimeout} {
			start := time.Now()
			f := submitMessages(t, p, "a", "1")
			_, settled, err := p.WaitWhile(f, func() bool { return time.Since(start) < ended })
			if took := time.Since(start); settled || took < ended || took > ended+askEvery {
				t.Errorf("%v after %v", err, took)
			}
			_, err = p.Wait(f)
			if took := time.Since(start); err != ErrTimeout || took < max(testTimeout, ended) ||
				took > max(testTimeout, ended+askEvery) {
				t.Errorf("%v after %v", err, took)
			}
		}
		e.Fail(nil)
		time.Sleep(2 * maxBackoff) // virtual: the next attempt finds the frames abandoned
		synctest.Wait()
		wantMessages(t, e)
		if p.Queued() != 0 {
			t.Errorf("%d queued", p.Queued())
		}
	})
}

// A message that a device has sent before it came back is stored before what it sends then, however long that takes.
func TestDetachedMessageKeepsItsPlace(t *testing.T) {
	failures := map[string]func(*testkit.Engine){
		"frozen":    (*testkit.Engine).Hold,
		"transient": func(e *testkit.Engine) { e.Fail(func(*engine.Batch) error { return errBusy }) },
		"ambiguous": func(e *testkit.Engine) { e.Fail(func(*engine.Batch) error { return errLost }) },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testkit.NewEngine(1)
				p := newPublisher(t, e, 100)
				quota := p.Quota(2)
				fail(e)
				first := detach(t, p, submitMessages(t, p, "a", "1", "2"), quota)
				second := submitMessages(t, p, "a", "3")
				time.Sleep(10 * testTimeout) // virtual
				e.Fail(nil)
				e.Release()
				if r := <-first; r != (result{Outcome{Messages: 2}, nil}) {
					t.Errorf("%+v", r)
				}
				if o, _, err := p.WaitWhile(second, func() bool { return true }); err != nil || o.Messages != 1 {
					t.Errorf("%+v, %v", o, err)
				}
				wantMessages(t, e, "1", "2", "3")
				if quota.queued.Load() != 0 || quota.bytes.Load() != 0 || p.Queued() != 0 {
					t.Errorf("%d of the quota are taken, %d of the queue", quota.queued.Load(), p.Queued())
				}
			})
		})
	}
}

// What is detached takes no more of the queue than its quota. What is stored already is not detached.
func TestDetachedMessagesHaveAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testkit.NewEngine(1)
		p := newPublisher(t, e, 1000)
		quota := p.Quota(2)
		quota.capacity = 2
		never := func(Outcome, error) { t.Error("settled") }
		stored := submitMessages(t, p, "a", "1", "2")
		synctest.Wait()
		if p.Detach(stored, quota, never) {
			t.Error("a frame that is stored is detached")
		}
		if o, err := p.Wait(stored); err != nil || o.Messages != 2 {
			t.Errorf("%+v, %v", o, err)
		}
		e.Hold()
		fits, tooMany := submitMessages(t, p, "a", "3", "4"), submitMessages(t, p, "a", "5")
		done := detach(t, p, fits, quota)
		if p.Detach(tooMany, quota, never) {
			t.Error("more than the quota is detached")
		}
		e.Release()
		<-done
		if _, err := p.Wait(tooMany); err != nil {
			t.Error(err)
		}
		wantMessages(t, e, "1", "2", "3", "4", "5")
	})
}

// While the publisher drains, what is detached is stored if the engine stores, waited for while it hangs, and given up
// when it fails.
func TestDetachedMessageWhileThePublisherDrains(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		within time.Duration
	}{"stores": {nil, 0}, "transient": {errBusy, maxBackoff}, "ambiguous": {errLost, maxBackoff}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testkit.NewEngine(1)
				p := newPublisher(t, e, 100)
				e.Hold()
				done := detach(t, p, submitMessages(t, p, "a", "1"), p.Quota(2))
				synctest.Wait()
				e.Fail(func(*engine.Batch) error { return c.err })
				e.Release()
				if c.err != nil {
					time.Sleep(testTimeout) // virtual
				}
				start := time.Now()
				if err := p.Drain(t.Context()); err != nil || time.Since(start) > c.within {
					t.Errorf("drained after %v: %v", time.Since(start), err)
				}
				if r := <-done; (r.err == nil) != (c.err == nil) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
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
