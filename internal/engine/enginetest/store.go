package enginetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var storeCases = []testCase{
	{"one record", storeOne},
	{"batch sizes", storeSizes},
	{"bytes as they are", storeBytes},
	{"long items", storeLong},
	{"dead letters beside records", storeDeadLetters},
	{"empty batch", storeEmpty},
	{"order within a lane", storeOrder},
	{"lanes at once", storeLanes},
	{"nothing of the batch is kept", storeScribble},
}

func storeOne(t *testing.T, h Harness) {
	e := open(t, h)
	b := NewBatch(deviceA, 0, 1)
	storeNew(t, e, b)
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h)
}

// storeSizes covers what an engine may treat specially: few, many, and around powers of two.
func storeSizes(t *testing.T, h Harness) {
	e := open(t, h)
	var all []engine.Record
	for _, size := range []int{2, 7, 8, 9, 63, 64, 65, 77, 128, 1000, 1} {
		b := NewBatch(deviceA, len(all), size)
		storeNew(t, e, b)
		all = append(all, b.Records...)
	}
	wantRecords(t, h, all...)
}

func storeBytes(t *testing.T, h Harness) {
	e := open(t, h)
	b := &engine.Batch{}
	for n, elements := range []string{
		"\x00", "\x00\x01\x02\xff\xfe", "\r\n", "'; DROP TABLE records; --", `"\"`, "$5\r\nhello\r\n", "\xc3\x28",
		"Žvėrynas 東京 🚚", "%s%d", " ",
	} {
		b.Records = append(b.Records, newRecord(deviceA, n, h.element(elements)))
	}
	for n, frame := range [][]byte{{0}, {0xff, 0x00, 0x0a, 0x27}, bytes.Repeat([]byte{0}, 100)} {
		d := NewDeadLetter(deviceA, n)
		d.Frame = frame
		b.DeadLetters = append(b.DeadLetters, d)
	}
	storeNew(t, e, Sized(b))
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, b.DeadLetters...)
}

// storeLong goes to the largest frame that the default settings let in, and beyond.
func storeLong(t *testing.T, h Harness) {
	e := open(t, h)
	b := &engine.Batch{}
	for n, length := range []int{4 << 10, 64 << 10, 300 << 10} {
		b.Records = append(b.Records, newRecord(strings.Repeat("D", 64), n, h.element(strings.Repeat("x", length))))
		d := NewDeadLetter(deviceB, n)
		d.Codec, d.Frame = "0x9f", bytes.Repeat([]byte{0xa5}, length)
		b.DeadLetters = append(b.DeadLetters, d)
	}
	last := &b.Records[2]
	last.Timestamp, last.Time = 253402300799999, []byte("9999-12-31T23:59:59.999Z")
	storeNew(t, e, Sized(b))
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, b.DeadLetters...)
}

func storeDeadLetters(t *testing.T, h Harness) {
	e := open(t, h)
	b := NewBatch(deviceA, 0, 3)
	b.DeadLetters = []engine.DeadLetter{NewDeadLetter(deviceA, 0), NewDeadLetter(deviceB, 1)}
	storeNew(t, e, Sized(b))
	only := &engine.Batch{DeadLetters: []engine.DeadLetter{NewDeadLetter(deviceB, 2)}}
	storeNew(t, e, Sized(only))
	wantRecords(t, h, b.Records...)
	wantDeadLetters(t, h, append(b.DeadLetters, only.DeadLetters...)...)
}

func storeEmpty(t *testing.T, h Harness) {
	e := open(t, h)
	storeNew(t, e, &engine.Batch{})
	again := Sized(&engine.Batch{})
	storeNew(t, e, again)
	storeNew(t, e, again)
	wantRecords(t, h)
	wantDeadLetters(t, h)
	wantMessages(t, h)
}

func storeOrder(t *testing.T, h Harness) {
	e := open(t, h)
	var all []engine.Record
	for i := range 40 {
		b := NewBatch(deviceA, len(all), 1+i%5)
		storeNew(t, e, b)
		all = append(all, b.Records...)
	}
	wantRecords(t, h, all...)
}

// storeLanes stores with all lanes at once, while others probe, and looks at each device's order.
func storeLanes(t *testing.T, h Harness) {
	e := open(t, h)
	devices := deviceOfEachLane(t, e)
	const batches, size = 20, 25
	var running sync.WaitGroup
	for lane, device := range devices {
		running.Go(func() { storeInLane(t, e, lane, device, batches, size) })
	}
	running.Go(func() {
		for range batches {
			if _, err := e.Probe(t.Context()); err != nil {
				t.Errorf("probe while storing: %v", err)
			}
		}
	})
	running.Wait()

	var want []engine.Record
	for _, device := range devices {
		want = append(want, NewBatch(device, 0, batches*size).Records...)
	}
	wantRecords(t, h, want...)
}

// deviceOfEachLane makes sure that there is one.
func deviceOfEachLane(t *testing.T, e engine.Engine) []string {
	t.Helper()
	devices := make([]string, e.Lanes())
	if len(devices) == 0 {
		t.Fatal("the engine has no lanes")
	}
	missing := len(devices)
	for n := 0; missing > 0; n++ {
		device := fmt.Sprintf("35630704%07d", n)
		lane := e.Lane(device)
		if lane < 0 || lane >= len(devices) || lane != e.Lane(device) || n > 1000*len(devices) {
			t.Fatalf(
				"device %d of %d lanes: lane %d, then %d; %d lanes have none",
				n,
				len(devices),
				lane,
				e.Lane(device),
				missing,
			)
		}
		if devices[lane] == "" {
			devices[lane] = device
			missing--
		}
	}
	return devices
}

func storeInLane(t *testing.T, e engine.Engine, lane int, device string, batches, size int) {
	for i := range batches {
		b := NewBatch(device, i*size, size)
		if err := e.Store(t.Context(), lane, b); err != nil {
			t.Errorf("store in lane %d: %v", lane, err)
			return
		}
		for n, result := range b.Results {
			if result.Err != nil || result.Duplicate {
				t.Errorf("lane %d, batch %d, item %d: %+v", lane, i, n, result)
			}
		}
	}
}

// storeScribble reuses one batch's memory for the next one, as the publisher does.
func storeScribble(t *testing.T, h Harness) {
	e := open(t, h)
	var want []engine.Record
	var wantDead []engine.DeadLetter
	var sent []engine.Message
	for i := range 10 {
		b := NewBatch(deviceA, i*10, 10)
		b.DeadLetters = []engine.DeadLetter{NewDeadLetter(deviceA, i)}
		b.Messages = []engine.Message{NewMessage(deviceA, i)}
		sent = append(sent, NewMessage(deviceA, i))
		want = append(want, NewBatch(deviceA, i*10, 10).Records...)
		wantDead = append(wantDead, NewDeadLetter(deviceA, i))
		storeNew(t, e, Sized(b))
		scribble(b)
	}
	wantRecords(t, h, want...)
	wantDeadLetters(t, h, wantDead...)
	wantMessages(t, h, sent...)
}

// scribble overwrites every byte that a batch lent to the engine.
func scribble(b *engine.Batch) {
	overwrite := func(bytes []byte) {
		for i := range bytes {
			bytes[i] = '!'
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		overwrite(r.Time)
		overwrite(r.ID)
		overwrite(r.Payload)
		*r = engine.Record{}
	}
	for i := range b.DeadLetters {
		overwrite(b.DeadLetters[i].Frame)
		b.DeadLetters[i] = engine.DeadLetter{}
	}
	for i := range b.Messages {
		overwrite(b.Messages[i].Payload)
		b.Messages[i] = engine.Message{}
	}
}
