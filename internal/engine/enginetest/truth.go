package enginetest

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var truthCases = []testCase{
	{"nothing lost", nothingLost},
	{"everything lost", everythingLost},
	{"everything lost and other items stored since", lostAndWritten},
}

// ask asks whether what this lane has stored of each kind is still there, without storing anything.
func ask(t *testing.T, e engine.Engine) [engine.Kinds]uint64 {
	t.Helper()
	b := &engine.Batch{Known: [engine.Kinds]bool{true, true, true}}
	store(t, e, b)
	return b.Epochs
}

func nothingLost(t *testing.T, h Harness) {
	e := open(t, h)
	b := mixedBatch()
	storeNew(t, e, b)
	for range 3 {
		if now := ask(t, e); now != b.Epochs {
			t.Fatalf("epochs %v, after %v, although nothing is lost", now, b.Epochs)
		}
		more := mixedBatch()
		for i := range more.Records {
			more.Records[i] = NewRecord(deviceB, 1000+i)
		}
		more.Known = [engine.Kinds]bool{true, true, true}
		store(t, e, more)
		if more.Epochs != b.Epochs {
			t.Fatalf("epochs %v beside new items, after %v, although nothing is lost", more.Epochs, b.Epochs)
		}
	}
}

// everythingLost: records that the engine recognises by itself are new again instead.
func everythingLost(t *testing.T, h Harness) {
	e := open(t, h)
	b := mixedBatch()
	storeNew(t, e, b)
	h.Lose(t)
	wantEpochs(t, h, b.Epochs, ask(t, e))
	storeNew(t, e, mixedBatch())
}

// lostAndWritten: what has been stored since does not hide the loss.
func lostAndWritten(t *testing.T, h Harness) {
	e := open(t, h)
	first := mixedBatch()
	storeNew(t, e, first)
	h.Lose(t)
	again := mixedBatch()
	storeNew(t, e, again)
	wantEpochs(t, h, first.Epochs, ask(t, e))
}

func wantEpochs(t *testing.T, h Harness, before, now [engine.Kinds]uint64) {
	t.Helper()
	for k := range now {
		if engine.Kind(k) == engine.KindRecord && h.Recogniser {
			continue
		}
		if now[k] == before[k] {
			t.Errorf("kind %d: epoch %d, as before everything was lost", k, now[k])
		}
	}
}
