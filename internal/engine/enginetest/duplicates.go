package enginetest

import (
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var duplicateCases = []testCase{
	{"recognised in a later batch", duplicateLater},
	{"recognised within a batch", duplicateWithin},
	{"recognised after reopening", duplicateReopened},
	{"again and all of it stored", againAllStored},
	{"again and part of it stored", againPartStored},
	{"again and nothing stored", againNothingStored},
	{"again with an id within the payload", againWithNestedID},
}

// duplicateLater resends records between new ones. A resent record differs in received_at, and
// the copy that was stored first stays. An engine that does not recognise records, and gets another batch,
// stores what it is given.
func duplicateLater(t *testing.T, h Harness) {
	e := open(t, h)
	first := NewBatch(deviceA, 0, 100)
	storeNew(t, e, first)

	second := &engine.Batch{}
	for n := 90; n < 110; n++ {
		second.Records = append(second.Records, newRecord(deviceA, n, `"resent":1`))
	}
	got := store(t, e, Sized(second))
	if !h.Recogniser {
		wantDuplicates(t, got, strings.Repeat(".", 20))
		wantRecords(t, h, append(first.Records, second.Records...)...)
		return
	}
	wantDuplicates(t, got, strings.Repeat("d", 10)+strings.Repeat(".", 10))
	wantRecords(t, h, append(first.Records, second.Records[10:]...)...)

	again := &engine.Batch{
		Records: []engine.Record{NewRecord(deviceA, 110), NewRecord(deviceA, 5), NewRecord(deviceA, 111)},
	}
	again.DeadLetters = []engine.DeadLetter{NewDeadLetter(deviceA, 0)}
	wantDuplicates(t, store(t, e, Sized(again)), ".d..")
	only := NewBatch(deviceA, 7, 1)
	wantDuplicates(t, store(t, e, only), "d")
	wantDeadLetters(t, h, again.DeadLetters...)
}

func duplicateWithin(t *testing.T, h Harness) {
	e := open(t, h)
	b := &engine.Batch{}
	for _, n := range []int{0, 1, 0, 2, 1, 1} {
		b.Records = append(b.Records, newRecord(deviceA, n, `"copy":`+string(rune('0'+len(b.Records)))))
	}
	got := store(t, e, Sized(b))
	if !h.Recogniser {
		wantDuplicates(t, got, "......")
		wantRecords(t, h, b.Records...)
		return
	}
	wantDuplicates(t, got, "..d.dd")
	wantRecords(t, h, b.Records[0], b.Records[1], b.Records[3])
}

func duplicateReopened(t *testing.T, h Harness) {
	e := h.Open(t)
	first := NewBatch(deviceA, 0, 20)
	storeNew(t, e, first)
	closeEngine(t, e)

	e = open(t, h)
	second := NewBatch(deviceA, 10, 20)
	got := store(t, e, second)
	if !h.Recogniser {
		wantDuplicates(t, got, strings.Repeat(".", 20))
		return
	}
	wantDuplicates(t, got, strings.Repeat("d", 10)+strings.Repeat(".", 10))
	wantRecords(t, h, append(first.Records, second.Records[10:]...)...)
}

// mixedBatch is a batch with records of two devices, dead letters and messages, two of them equal.
func mixedBatch() *engine.Batch {
	b := NewBatch(deviceA, 0, 10)
	b.Records = append(b.Records, NewBatch(deviceB, 0, 10).Records...)
	b.DeadLetters = []engine.DeadLetter{NewDeadLetter(deviceA, 0), NewDeadLetter(deviceB, 0)}
	b.Messages = []engine.Message{NewMessage(deviceA, 0), NewMessage(deviceA, 0), NewMessage(deviceB, 1)}
	return Sized(b)
}

// againAllStored repeats a batch whose confirmation got lost.
func againAllStored(t *testing.T, h Harness) {
	e := open(t, h)
	b := mixedBatch()
	storeNew(t, e, b)
	wantDuplicates(t, store(t, e, Sized(b)), strings.Repeat("d", 25))
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, b.DeadLetters...)
	wantMessages(t, h, b.Messages...)
}

// againPartStored repeats a batch of which the first items arrived.
func againPartStored(t *testing.T, h Harness) {
	e := open(t, h)
	b := mixedBatch()
	part := &engine.Batch{ID: b.ID, Records: b.Records[:13], DeadLetters: b.DeadLetters[:1], Messages: b.Messages[:1]}
	storeNew(t, e, Sized(part))
	wantDuplicates(t, store(t, e, b), strings.Repeat("d", 13)+strings.Repeat(".", 7)+"d."+"d..")
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, b.DeadLetters...)
	wantMessages(t, h, b.Messages...)
}

func againNothingStored(t *testing.T, h Harness) {
	e := open(t, h)
	before := NewBatch(deviceA, 100, 5)
	storeNew(t, e, before)
	b := mixedBatch()
	storeNew(t, e, Sized(&engine.Batch{ID: b.ID}))
	storeNew(t, e, b)
	wantRecords(t, h, append(before.Records, b.Records...)...)
	wantDeadLetters(t, h, b.DeadLetters...)
	wantMessages(t, h, b.Messages...)
}

// againWithNestedID repeats records whose payloads hold something else behind their ids that looks like one.
func againWithNestedID(t *testing.T, h Harness) {
	e := open(t, h)
	b := NewBatch(deviceA, 0, 4)
	for i := range b.Records {
		r := &b.Records[i]
		r.Payload = fmt.Appendf(
			r.Payload[:len(r.Payload)-1],
			`,"device":{"id":"%s"},"raw":"ImlkIjoiYSI="}`,
			NewRecord(deviceA, 100+i).ID,
		)
	}
	part := &engine.Batch{ID: b.ID, Records: b.Records[:2]}
	storeNew(t, e, Sized(part))
	wantDuplicates(t, store(t, e, b), "dd..")
	wantRecords(t, h, b.Records...)
}
