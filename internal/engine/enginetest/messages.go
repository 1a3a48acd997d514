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

var messageCases = []testCase{
	{"stored whole", messagesWhole},
	{"equal ones are all kept", messagesEqual},
	{"beside records and dead letters", messagesMixed},
	{"more than an engine reads at once", messagesMany},
	{"broken and healed", messagesBroken},
}

var messageTailCases = []testCase{
	{"from the start", messagesFromStart},
	{"from now on", messagesFromNow},
	{"ended by the function", messagesEnded},
}

// messagesWhole has every codec, the types' and times' ends, and payloads up to the largest frame and beyond.
func messagesWhole(t *testing.T, h Harness) {
	e := open(t, h)
	b := &engine.Batch{}
	add := func(codec string, kind byte, sent time.Time, payload []byte) {
		m := NewMessage(deviceA, len(b.Messages))
		m.Codec, m.Type, m.Sent, m.Payload = codec, kind, sent, payload
		b.Messages = append(b.Messages, m)
	}
	add("12", 0, time.Time{}, []byte{})
	add("12", 6, time.Time{}, []byte("\x00\r\n'; DROP TABLE messages; --\xff"))
	add("13", 255, time.Unix(0, 0), bytes.Repeat([]byte{0}, 6144))
	add("14", 0x11, time.Time{}, bytes.Repeat([]byte{0xa5}, 64<<10))
	add("15", 0x0b, time.Unix(1<<32-1, 0), bytes.Repeat([]byte{0xff}, 300<<10))
	storeNew(t, e, Sized(b))
	wantMessages(t, h, b.Messages...)
}

// messagesEqual is a card that is read twice within a millisecond.
func messagesEqual(t *testing.T, h Harness) {
	e := open(t, h)
	m := NewMessage(deviceA, 0)
	storeNew(t, e, Sized(&engine.Batch{Messages: []engine.Message{m, m}}))
	storeNew(t, e, Sized(&engine.Batch{Messages: []engine.Message{m}}))
	wantMessages(t, h, m, m, m)
}

func messagesMixed(t *testing.T, h Harness) {
	e := open(t, h)
	b := mixedBatch()
	storeNew(t, e, b)
	only := &engine.Batch{Messages: []engine.Message{NewMessage(deviceB, 2)}}
	storeNew(t, e, Sized(only))
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, b.DeadLetters...)
	wantMessages(t, h, append(b.Messages, only.Messages...)...)
}

func newMessages(device string, first, count int) (all []engine.Message) {
	for n := first; n < first+count; n++ {
		all = append(all, NewMessage(device, n))
	}
	return all
}

func messagesMany(t *testing.T, h Harness) {
	e := open(t, h)
	var all []engine.Message
	for range 3 {
		b := &engine.Batch{Messages: newMessages(deviceA, len(all), 1500)}
		storeNew(t, e, Sized(b))
		all = append(all, b.Messages...)
	}
	wantMessages(t, h, all...)
	b := Sized(&engine.Batch{Messages: newMessages(deviceA, 4500, 1500)})
	storeNew(t, e, Sized(&engine.Batch{ID: b.ID, Messages: b.Messages[:1100]}))
	for i, duplicate := range store(t, e, b) {
		if duplicate != (i < 1100) {
			t.Fatalf("message %d of the repeated batch: duplicate is %v", i, duplicate)
		}
	}
	wantMessages(t, h, append(all, b.Messages...)...)
}

func messagesBroken(t *testing.T, h Harness) {
	e := open(t, h)
	before := &engine.Batch{Messages: newMessages(deviceA, 0, 3)}
	storeNew(t, e, Sized(before))
	h.Break(t)
	b := Sized(&engine.Batch{Messages: newMessages(deviceA, 3, 3)})
	wantTransient(t, tryStore(t, e, b))
	h.Heal(t)
	storeUntilStored(t, e, b, true)
	wantMessages(t, h, append(before.Messages, b.Messages...)...)
}

// showMessages is a running TailMessages.
func showMessages(t *testing.T, e engine.Engine, fromStart bool) *tailing[engine.Message] {
	return follow(t, func(ctx context.Context, show func(engine.Message) error) error {
		return e.(engine.Tailer).TailMessages(ctx, fromStart, func(m engine.Message) error {
			m.Payload = bytes.Clone(m.Payload)
			return show(m)
		})
	})
}

func messagesFromStart(t *testing.T, h Harness) {
	e := open(t, h)
	old := newMessages(deviceA, 0, 1500)
	storeNew(t, e, Sized(&engine.Batch{Messages: old}))
	tail := showMessages(t, e, true)
	defer tail.cancel()
	for i, m := range old {
		wantMessage(t, i, tail.next(t), m)
	}
	late := NewBatch(deviceB, 0, 3) // records are not shown
	late.Messages = newMessages(deviceB, 0, 3)
	storeNew(t, e, Sized(late))
	for i, m := range late.Messages {
		wantMessage(t, i, tail.next(t), m)
	}
	tail.stop(t)
}

// messagesFromNow cannot know when "now" was, so it stores until the tail shows the first message.
func messagesFromNow(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, Sized(&engine.Batch{Messages: newMessages(deviceA, 0, 3)}))
	tail := showMessages(t, e, false)
	defer tail.cancel()
	stored := 0
	testkit.Succeeds(t, "the first message of the tail", recoverLimit, func() error {
		storeNew(t, e, Sized(&engine.Batch{Messages: newMessages(deviceB, stored, 1)}))
		stored++
		if len(tail.seen) == 0 {
			return errors.New("nothing shown yet")
		}
		return nil
	})
	m := tail.next(t)
	first := int(m.Received.Sub(firstFix) / time.Second)
	wantMessage(t, first, m, NewMessage(deviceB, first)) // and none of those stored before
	for n := first + 1; n < stored; n++ {
		wantMessage(t, n, tail.next(t), NewMessage(deviceB, n))
	}
	tail.stop(t)
}

func messagesEnded(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, Sized(&engine.Batch{Messages: newMessages(deviceA, 0, 10)}))
	enough := errors.New("seen enough")
	seen := 0
	ctx, cancel := context.WithTimeout(t.Context(), recoverLimit)
	defer cancel()
	err := e.(engine.Tailer).TailMessages(ctx, true, func(m engine.Message) error {
		wantMessage(t, seen, m, NewMessage(deviceA, seen))
		if seen++; seen == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 3 {
		t.Errorf("tail ended after %d messages with %v, want after 3 with its function's error", seen, err)
	}
}
