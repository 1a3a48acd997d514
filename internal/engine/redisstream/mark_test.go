package redisstream

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// frame is a batch of records of the device from one number to another.
func frame(d engine.Doubt, from, to int) *engine.Batch {
	return doubted(enginetest.NewBatch(device, from, to-from), d)
}

// isMark says whether the command writes marks, and is no probe.
func isMark(command []string) bool {
	return command[0] == "HSET" && len(command) > 2 && command[2] != "probe"
}

func wantMovedOn(t *testing.T, e *Engine, b *engine.Batch) {
	t.Helper()
	if err := e.Store(limited(t), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		wantFate(t, result.Err, false, false, engine.ErrMovedOn.Error())
		if result.Duplicate {
			t.Errorf("record %d is a duplicate", i)
		}
	}
}

// TestMarkOfADeviceThatSendsTheLatestFirst knows the frame whose ACK was lost behind those that come between.
func TestMarkOfADeviceThatSendsTheLatestFirst(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	for n := range 20 {
		wantKnown(t, a, frame(0, 10*n, 10*n+10), 0)
	}
	for n := range markFrames {
		wantKnown(t, b, frame(engine.Arrived, 1000+10*n, 1010+10*n), 0)
	}
	wantKnown(t, b, frame(engine.Arrived, 190, 200), 10)
	wantKnown(t, a, frame(engine.Arrived, 190, 200), 10) // it was not forgotten
	wantKnown(t, a, frame(engine.Arrived, 1020, 1040), 10)
	wantEntries(t, r, 200+10*markFrames+10)
}

// TestMarkOfAResendThatGrows keeps all that a device has not had acknowledged, however often it tries, also what the
// caller leaves out because it remembers it.
func TestMarkOfAResendThatGrows(t *testing.T) {
	r := testkit.StartRedis(t)
	at := []*Engine{recalling(t, r, Options{}), recalling(t, r, Options{}), recalling(t, r, Options{})}
	for n := range 20 {
		wantKnown(t, at[n%3], frame(engine.Arrived, 0, 10+n), max(0, 10+n-1)*min(n, 1))
	}
	for n := 29; n < 40; n++ {
		wantKnown(t, at[0], frame(engine.Arrived|engine.Repeated, n, n+1), 0)
	}
	wantKnown(t, at[1], frame(engine.Arrived, 0, 40), 40)
	wantEntries(t, r, 40)
}

// TestMarkOfSeveralFramesInABatch has all frames of a device in one batch be in its mark, with other devices' between.
func TestMarkOfSeveralFramesInABatch(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	batch := enginetest.NewBatch(device, 0, 30)
	for i := 10; i < 20; i++ {
		batch.Records[i] = enginetest.NewRecord("356307042441999", i)
	}
	wantKnown(t, a, batch, 0)
	wantKnown(t, b, frame(engine.Arrived, 0, 10), 10)
	wantKnown(t, b, frame(engine.Arrived, 20, 30), 10)
	wantKnown(t, b, frame(engine.Arrived, 10, 20), 0)
}

// TestMarkIsBounded however many records a batch has of a device.
func TestMarkIsBounded(t *testing.T) {
	r := testkit.StartRedis(t)
	a := recalling(t, r, Options{})
	for n := range 4 {
		wantKnown(t, a, frame(engine.Arrived|engine.Repeated, 1000*n, 1000*n+1000), 0)
		if size := len(r.Do("HGET", markKey(testStream), device).(string)); size > 16*markRecords {
			t.Errorf("a mark of %d bytes", size)
		}
	}
	wantKnown(t, recalling(t, r, Options{}), frame(engine.Arrived, 4000-markRecords, 4000), markRecords)
}

// twins are records of the device and of one millisecond.
func twins(of ...int) *engine.Batch {
	batch := enginetest.NewBatch(device, 0, len(of))
	for i, n := range of {
		r := &batch.Records[i]
		own := r.ID
		r.Hash, r.Timestamp, r.Time = uint64(n), batch.Records[0].Timestamp, batch.Records[0].Time
		r.ID = fmt.Appendf(nil, "%s-%d-%016x", device, r.Timestamp, r.Hash)
		r.Payload = bytes.Replace(r.Payload, own, r.ID, 1)
	}
	return doubted(batch, engine.Arrived)
}

// TestMarkOfRecordsAtOneTime stores again what may be gone: one entry is not two records of the same millisecond.
func TestMarkOfRecordsAtOneTime(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	wantKnown(t, a, twins(1, 2), 0)
	wantKnown(t, b, twins(2, 1), 2)
	wantKnown(t, b, twins(1), 1)
	wantKnown(t, b, twins(2), 1)
	wantKnown(t, b, twins(3), 0)
	wantKnown(t, a, twins(1, 2, 3), 3)
	r.Do("XDEL", testStream, r.Do("XRANGE", testStream, "-", "+").([]any)[0].([]any)[0])
	wantKnown(t, a, twins(2, 1), 1)
}

// TestMarkOfATwin: two entries of one record are not two records.
func TestMarkOfATwin(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	wantKnown(t, a, twins(1), 0)
	r.Do("XDEL", testStream, r.Do("XRANGE", testStream, "-", "+").([]any)[0].([]any)[0])
	wantKnown(t, b, twins(2), 0)
	stored := r.Do("XRANGE", testStream, "-", "+").([]any)[0].([]any)[1].([]any)
	r.Do(append([]any{"XADD", testStream, "*"}, stored...)...)
	wantKnown(t, b, twins(1), 0)
	wantKnown(t, a, twins(1, 2), 2)
}

// TestMarkWithoutItsRecords is what is left where a connection is cut behind a mark: none of them is a duplicate.
func TestMarkWithoutItsRecords(t *testing.T) {
	r := testkit.StartRedis(t)
	var cut atomic.Bool
	p := startRelay(t, r, func(command []string) (string, bool) { return "", cut.Load() && isMark(command) })
	a, b := recalling(t, r, Options{URL: p.url()}), recalling(t, r, Options{})
	wantKnown(t, a, frame(0, 0, 10), 0)
	cut.Store(true)
	wantFate(t, a.Store(limited(t), 0, frame(0, 10, 20)), true, true, "")
	wantKnown(t, b, frame(engine.Arrived, 10, 20), 0)
	wantKnown(t, b, frame(engine.Arrived, 10, 20), 10)
	wantEntries(t, r, 20)
}

// TestDeviceThatHasMovedOn has what it left behind be refused: it would come behind what is newer, and twice.
func TestDeviceThatHasMovedOn(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	wantKnown(t, a, frame(0, 0, 10), 0)
	wantKnown(t, a, frame(engine.Waited, 10, 20), 0)
	for n := range 10 {
		wantKnown(t, b, frame(engine.Arrived, 20+10*n, 30+10*n), 0)
	}
	wantMovedOn(t, a, frame(engine.Waited, 20, 30))
	wantMovedOn(t, a, frame(engine.Waited, 20, 30))
	wantKnown(t, a, frame(engine.Waited, 110, 120), 10)
	wantEntries(t, r, 120)
}

// TestDeviceThatMayHaveArrivedOrMovedOn is asked to send once more. If it is there it does, and is believed.
func TestDeviceThatMayHaveArrivedOrMovedOn(t *testing.T) {
	r := testkit.StartRedis(t)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{})
	wantKnown(t, b, frame(0, 0, 10), 0)
	either := engine.Arrived | engine.Waited
	wantMovedOn(t, a, frame(either, 10, 20))
	wantKnown(t, a, frame(either, 10, 20), 0)
	wantKnown(t, b, frame(engine.Arrived, 0, 20), 20)
	wantEntries(t, r, 20)
}

// TestBatchThatComesAgainAfterItsDeviceHasMovedOn stores of it what nobody has moved on from, and nothing of the rest,
// whatever becomes of the attempt that finds out.
func TestBatchThatComesAgainAfterItsDeviceHasMovedOn(t *testing.T) {
	r := testkit.StartRedis(t)
	var cut, late atomic.Bool
	p := startRelay(t, r, func(command []string) (string, bool) {
		if cut.Load() && isMark(command) {
			return "-ERR not now\r\n", true
		}
		return "", late.Load() && isXADD(command, testStream)
	})
	a, b := recalling(t, r, Options{URL: p.url()}), recalling(t, r, Options{})
	const stays = "356307042441999"
	batch := frame(engine.Arrived, 0, 3)
	batch.Records = append(batch.Records, enginetest.NewBatch(stays, 0, 2).Records...)
	for i := range batch.Records {
		batch.Records[i].Payload = fmt.Appendf(nil, `{"here":%d}`, i) // they come at another time elsewhere
	}
	wantKnown(t, b, frame(0, 100, 110), 0)
	cut.Store(true)
	wantFate(t, a.Store(limited(t), 0, enginetest.Sized(batch)), true, true, "")
	for n := range 10 {
		wantKnown(t, b, frame(0, n, n+1), 0)
	}
	cut.Store(false)
	late.Store(true) // the mark is written, and the first record
	wantFate(t, a.Store(limited(t), 0, enginetest.Sized(batch)), true, true, "")
	late.Store(false)
	if err := a.Store(limited(t), 0, enginetest.Sized(batch)); err != nil {
		t.Fatal(err)
	}
	for i, result := range batch.Results {
		switch {
		case i < 3:
			wantFate(t, result.Err, false, false, engine.ErrMovedOn.Error())
		case result.Err != nil || result.Duplicate != (i == 3):
			t.Errorf("record %d: %+v", i, result)
		}
	}
	wantEntries(t, r, 22)
}

// TestFoundBatchIsConfirmedByAMark where Redis confirms only what follows a write: no record is written twice for it.
func TestFoundBatchIsConfirmedByAMark(t *testing.T) {
	r := testkit.StartRedis(t, "--repl-diskless-sync-delay", "0")
	replica := testkit.StartRedis(t, "--replicaof", "127.0.0.1", fmt.Sprint(r.Port()))
	o := Options{Durability: Durability{Replicas: 1}}
	testkit.Eventually(t, "the replica is connected", func() bool {
		return bytes.Contains([]byte(r.Do("INFO", "replication").(string)), []byte("state=online"))
	})
	a, b := recalling(t, r, o), recalling(t, r, o)
	wantKnown(t, a, frame(0, 0, 10), 0)
	wantKnown(t, b, frame(engine.Arrived, 0, 10), 10)
	wantEntries(t, replica, 10)
}

// TestFoundBatchWhoseMarkIsRefused comes again: behind nothing that was written, nothing is confirmed.
func TestFoundBatchWhoseMarkIsRefused(t *testing.T) {
	r := testkit.StartRedis(t, "--repl-diskless-sync-delay", "0")
	replica := testkit.StartRedis(t, "--replicaof", "127.0.0.1", fmt.Sprint(r.Port()))
	var refusal atomic.Value
	refusal.Store("")
	p := startRelay(t, r, func(command []string) (string, bool) {
		if isMark(command) {
			return refusal.Load().(string), false
		}
		return "", false
	})
	replicated := func() bool {
		replicas := r.Do("ROLE").([]any)[2].([]any)
		return len(replicas) == 1 && replicas[0].([]any)[2] == fmt.Sprint(r.Do("ROLE").([]any)[1])
	}
	testkit.Eventually(t, "the replica is connected", replicated)
	a, b := recalling(t, r, Options{}), recalling(t, r, Options{URL: p.url(), Durability: Durability{Replicas: 1}})
	wantKnown(t, b, frame(0, 10, 20), 0)
	testkit.Eventually(t, "the replica has all", replicated)
	replica.Freeze()
	wantKnown(t, a, frame(0, 0, 10), 0)
	again := frame(engine.Arrived, 0, 10)
	refusal.Store("-OOM command not allowed when used memory > 'maxmemory'.\r\n")
	wantFate(t, b.Store(limited(t), 0, again), true, true, "OOM")
	replica.Thaw()
	wantFate(t, b.Store(limited(t), 0, again), true, true, "OOM")
	refusal.Store("")
	wantKnown(t, b, again, 10)
	wantEntries(t, replica, 20)
}

// TestMarksAreRotated when they are many, or large, once, however many instances find so. Both generations are read.
func TestMarksAreRotated(t *testing.T) {
	r := testkit.StartRedis(t)
	a := recalling(t, r, Options{})
	store := func(first int) { // of ten devices
		b := frames(10*first, 100, 10)
		b.Results = make([]engine.Result, len(b.Records))
		if err := a.Store(limited(t), 0, b); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	rotate := func(marks, bytes int64) {
		t.Helper()
		for range 2 {
			tr := newTrimmer(a.shards[0])
			tr.mostMarks, tr.mostMarkBytes = marks, bytes
			if err := tr.rotateMarks(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(latest, older int64) {
		t.Helper()
		if n, m := r.Do("HLEN", markKey(testStream)), r.Do("HLEN", olderMarkKey(testStream)); n != latest || m != older {
			t.Errorf("%v marks and %v older ones, want %d and %d", n, m, latest, older)
		}
	}
	store(0)
	rotate(11, 1<<20)
	want(10, 0)
	rotate(10, 1<<20)
	want(0, 10)
	store(10)
	wantKnown(t, a, doubtedFrame(frames(0, 10, 10)), 10)
	rotate(1000, 1000)
	want(0, 10)
	wantKnown(t, a, doubtedFrame(frames(0, 10, 10)), 0) // of the generation that was dropped
}

func doubtedFrame(b *engine.Batch) *engine.Batch {
	return enginetest.Sized(doubted(b, engine.Arrived))
}

// TestMarksAreRotatedOnce has another instance rotate between the question and the answer.
func TestMarksAreRotatedOnce(t *testing.T) {
	r := testkit.StartRedis(t)
	asked := 0
	p := startRelay(t, r, func(command []string) (string, bool) {
		if command[0] == "MULTI" && asked == 0 {
			asked++
			r.Do("RENAME", markKey(testStream), olderMarkKey(testStream))
			r.Do("HSET", markKey(testStream), "new", "")
		}
		return "", false
	})
	r.Do("HSET", markKey(testStream), "old", "")
	tr := newTrimmer(recalling(t, r, Options{URL: p.url()}).shards[0])
	tr.mostMarks = 1
	if err := tr.rotateMarks(context.Background()); err != nil {
		t.Fatal(err)
	}
	if asked == 0 || r.Do("HGET", olderMarkKey(testStream), "old") != "" {
		t.Error("the older marks are dropped twice")
	}
}

func TestParseMark(t *testing.T) {
	records := enginetest.NewBatch(device, 0, 3).Records
	v := appendFrameHeader(appendHeader(nil, 7), streamID{1700000000000, 3}, 2)
	v = appendMarked(v, &records[1], 0)
	v = appendMarked(v, &records[0], records[1].Timestamp)
	m, err := parseMark(v)
	if err != nil || m.writer != 7 || len(m.frames) != 1 || m.frames[0].after != (streamID{1700000000000, 3}) {
		t.Errorf("%+v, %v", m, err)
	}
	for i := range records {
		if after, known := m.place(&records[i]); known != (i < 2) || known && after != m.frames[0].after {
			t.Errorf("record %d", i)
		}
	}
	if carried := m.appendCarried(appendHeader(nil, 7), 0, false); !bytes.Equal(carried, v) {
		t.Errorf("%x is carried as %x", v, carried)
	}
	for n := range v {
		if _, err := parseMark(v[:n]); (err == nil) != (n == 5) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	wrong := slices.Clone(v)
	wrong[0]++
	if _, err := parseMark(wrong); err == nil {
		t.Error("another version is read")
	}
}

func FuzzParseMark(f *testing.F) {
	f.Add(appendMarked(appendFrameHeader(appendHeader(nil, 7), streamID{1, 2}, 1), &engine.Record{Timestamp: 3}, 0))
	f.Fuzz(func(t *testing.T, v []byte) {
		m, err := parseMark(v)
		if err != nil {
			return
		}
		if again, err := parseMark(m.appendCarried(appendHeader(nil, m.writer), 0, true)); err != nil {
			t.Errorf("%x: %v", v, err)
		} else if len(again.frames) > len(m.frames) {
			t.Error(fmt.Sprint(again))
		}
	})
}
