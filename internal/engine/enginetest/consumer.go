package enginetest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var consumerCases = []testCase{
	{"of what is stored before and after", consumerReads},
	{"goes on behind what was committed", consumerGoesOn},
	{"goes on in another engine", consumerReopened},
	{"of two groups", consumerGroups},
	{"waits for its turn", consumerTurn},
	{"waits for records", consumerWaits},
	{"outlasts a fault", consumerOutlastsFault},
	{"made while the store is broken", consumerOfBrokenStore},
	{"says how far it is", consumerLag},
}

const group = "forward"

// joined is a consumer that is closed when the case ends, unless it was before.
type joined struct {
	engine.Consumer
	closed bool
}

func join(t *testing.T, e engine.Engine, group string) *joined {
	t.Helper()
	c, err := e.(engine.Consumable).Consumer(t.Context(), group)
	if err != nil {
		t.Fatalf("consumer: %v", err)
	}
	j := &joined{Consumer: c}
	t.Cleanup(func() { j.leave(t) })
	return j
}

func (j *joined) leave(t *testing.T) {
	t.Helper()
	if j.closed {
		return
	}
	j.closed = true
	if err := j.Close(); err != nil {
		t.Errorf("close of the consumer: %v", err)
	}
}

// take reads so many records, page by page. An engine may need a moment for its turn.
func (j *joined) take(t *testing.T, want, page int) (payloads [][]byte) {
	t.Helper()
	testkit.Succeeds(t, "the records", storeLimit, func() error {
		for len(payloads) < want {
			got, err := j.Next(t.Context(), min(page, want-len(payloads)), time.Second)
			if err != nil || len(got) == 0 {
				return errors.Join(errors.New("too few"), wantConsumerError(t, err))
			}
			payloads = append(payloads, got...)
		}
		return nil
	})
	return payloads
}

// wantConsumerError makes sure that a failure can be acted upon.
func wantConsumerError(t *testing.T, err error) error {
	t.Helper()
	if err != nil && !engine.IsTransient(err) {
		t.Fatalf("the consumer failed for good: %v", err)
	}
	return err
}

func (j *joined) commit(t *testing.T) {
	t.Helper()
	if err := j.Commit(t.Context()); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// nothing makes sure that there is nothing to read, or nothing for this member.
func (j *joined) nothing(t *testing.T) {
	t.Helper()
	got, err := j.Next(t.Context(), 10, 300*time.Millisecond)
	if len(got) > 0 || err != nil && !errors.Is(err, engine.ErrTurn) {
		t.Fatalf("the consumer gives %d records and %v, want none", len(got), err)
	}
}

// wantPayloads compares what was read, in each device's order.
func wantPayloads(t *testing.T, h Harness, got [][]byte, records ...engine.Record) {
	t.Helper()
	got = inOrder(got, payloadDevice[[]byte])
	want := inOrder(records, recordDevice)
	if len(got) != len(want) {
		t.Fatalf("%d records are read, want %d", len(got), len(want))
	}
	for i, r := range want {
		if h.normal(string(got[i])) != h.normal(string(r.Payload)) {
			t.Fatalf("record %d is\n%s, want\n%s", i, got[i], r.Payload)
		}
	}
}

// both are records of two devices in turn.
func both(first, count int) (all []engine.Record) {
	for n := first; n < first+count; n++ {
		all = append(all, NewRecord(deviceA, n), NewRecord(deviceB, n))
	}
	return all
}

func storeRecords(t *testing.T, e engine.Engine, records []engine.Record) {
	t.Helper()
	storeNew(t, e, Sized(&engine.Batch{Records: records}))
}

func consumerReads(t *testing.T, h Harness) {
	e := open(t, h)
	old := both(0, 600)
	storeRecords(t, e, old)
	c := join(t, e, group)
	wantPayloads(t, h, c.take(t, len(old), 100), old...)
	for i := range 3 {
		more := both(600+10*i, 10)
		storeRecords(t, e, more)
		wantPayloads(t, h, c.take(t, len(more), 7), more...)
		c.commit(t)
	}
	c.nothing(t)
	c.commit(t) // again, of nothing
}

// consumerGoesOn gives again what was not committed, and only that.
func consumerGoesOn(t *testing.T, h Harness) {
	e := open(t, h)
	all := both(0, 30)
	storeRecords(t, e, all)
	c := join(t, e, group)
	first := c.take(t, 20, 20)
	c.commit(t)
	lost := c.take(t, 10, 5)
	c.leave(t)

	c = join(t, e, group)
	rest := c.take(t, 40, 40)
	for i, payload := range inOrder(lost, payloadDevice[[]byte]) {
		if device := payloadDevice(payload); !contains(rest, payload) {
			t.Errorf("record %d that was given to the dead consumer, of %s, is not given again", i, device)
		}
	}
	wantPayloads(t, h, append(first, rest...), all...)
	c.commit(t)
	c.leave(t)
	join(t, e, group).nothing(t)
}

func contains(all [][]byte, one []byte) bool {
	for _, each := range all {
		if bytes.Equal(each, one) {
			return true
		}
	}
	return false
}

func consumerReopened(t *testing.T, h Harness) {
	all := both(0, 20)
	e := h.Open(t)
	storeRecords(t, e, all)
	c := join(t, e, group)
	first := c.take(t, 15, 15)
	c.commit(t)
	c.take(t, 5, 5)
	c.leave(t)
	closeEngine(t, e)

	e = open(t, h)
	wantPayloads(t, h, append(first, join(t, e, group).take(t, 25, 25)...), all...)
}

func consumerGroups(t *testing.T, h Harness) {
	e := open(t, h)
	all := both(0, 10)
	storeRecords(t, e, all)
	one, other := join(t, e, "one"), join(t, e, "other_2-B")
	wantPayloads(t, h, one.take(t, len(all), 10), all...)
	one.commit(t)
	wantPayloads(t, h, other.take(t, len(all), 10), all...)
	one.nothing(t)
}

// consumerTurn has a second member wait, and take over without a gap.
func consumerTurn(t *testing.T, h Harness) {
	e := open(t, h)
	all := both(0, 20)
	storeRecords(t, e, all[:20])
	first := join(t, e, group)
	read := first.take(t, 20, 20)
	first.commit(t)
	second := join(t, e, group)
	read = append(read, takeBetween(t, e, all[20:30], first, second)...)
	first.leave(t)
	storeRecords(t, e, all[30:])
	read = append(read, second.take(t, 10, 10)...)
	second.commit(t)
	wantPayloads(t, h, read, all...)
	second.nothing(t)
}

// takeBetween reads with two members. Each device's records come from one of them, and none from both.
func takeBetween(t *testing.T, e engine.Engine, records []engine.Record, members ...*joined) (read [][]byte) {
	t.Helper()
	storeRecords(t, e, records)
	testkit.Succeeds(t, "the records between two members", storeLimit, func() error {
		for _, c := range members {
			got, err := c.Next(t.Context(), 100, 200*time.Millisecond)
			if wantConsumerError(t, err) == nil {
				c.commit(t)
			}
			read = append(read, got...)
		}
		if len(read) < len(records) {
			return errors.New("too few")
		}
		return nil
	})
	return read
}

func consumerWaits(t *testing.T, h Harness) {
	e := open(t, h)
	c := join(t, e, group)
	c.nothing(t)
	b := NewBatch(deviceA, 0, 3)
	storeNew(t, e, b)
	wantPayloads(t, h, c.take(t, 3, 100), b.Records...)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if got, err := c.Next(ctx, 10, time.Minute); len(got) > 0 || err == nil {
		t.Errorf("%d records and %v when the context has ended", len(got), err)
	}
	if took := time.Since(start); took > 300*time.Millisecond+prompt {
		t.Errorf("the consumer returned after %v, when its context had ended after 300ms", took)
	}
}

// consumerOutlastsFault gives what Next failed to give, and commits what was given before the fault.
func consumerOutlastsFault(t *testing.T, h Harness) {
	e := open(t, h)
	all := both(0, 20)
	storeRecords(t, e, all[:20])
	c := join(t, e, group)
	read := c.take(t, 20, 20)
	h.Break(t)
	for range 2 {
		got, err := c.Next(t.Context(), 10, 100*time.Millisecond)
		if len(got) > 0 {
			t.Fatalf("%d records are given twice", len(got))
		}
		_ = wantConsumerError(t, err) // a reader may not notice that the store is broken for writers
	}
	h.Heal(t)
	b := Sized(&engine.Batch{Records: all[20:]})
	storeUntilStored(t, e, b, true)
	fresh := map[string]bool{}
	testkit.Succeeds(t, "the records behind the fault", storeLimit, func() error {
		got, err := c.Next(t.Context(), 100, 200*time.Millisecond)
		_ = wantConsumerError(t, err)
		for _, payload := range got {
			if !contains(read, payload) { // one that lost its turn by the fault may give what was not committed again
				read = append(read, payload)
			}
			fresh[string(payload)] = true
		}
		if len(read) < len(all) {
			return errors.New("too few")
		}
		return nil
	})
	wantPayloads(t, h, read, all...)
	testkit.Succeeds(t, "commit behind the fault", storeLimit, func() error {
		return wantConsumerError(t, c.Commit(t.Context()))
	})
	c.leave(t)
	join(t, e, group).nothing(t)
}

func consumerOfBrokenStore(t *testing.T, h Harness) {
	e := h.Open(t)
	b := NewBatch(deviceA, 0, 5)
	storeNew(t, e, b)
	closeEngine(t, e)
	h.Break(t)
	e = open(t, h)
	c := join(t, e, group)
	_, err := c.Next(t.Context(), 10, 100*time.Millisecond)
	_ = wantConsumerError(t, err)
	h.Heal(t)
	if err == nil {
		return // the store can be read while it cannot be written
	}
	wantPayloads(t, h, c.take(t, 5, 5), b.Records...)
}

func consumerLag(t *testing.T, h Harness) {
	e := open(t, h)
	storeRecords(t, e, both(0, 10))
	c := join(t, e, group)
	c.take(t, 5, 5)
	c.commit(t)
	c.take(t, 5, 5)
	lag := func(unread int64) {
		t.Helper()
		testkit.Succeeds(t, "the lag", recoverLimit, func() error {
			g, err := c.Lag(t.Context())
			if err != nil {
				return err
			}
			if g.Unread != unread || (unread > 0) != (g.Oldest != 0) || g.Expired != 0 {
				return errors.New("it is another one")
			}
			return nil
		})
	}
	lag(15)
	c.take(t, 10, 10)
	c.commit(t)
	lag(0)
}
