package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// wantLargeRefused wants the records at these places refused for their size, and all others stored.
func wantLargeRefused(t *testing.T, e *Engine, topic string, b *engine.Batch, large ...int) {
	t.Helper()
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	refused := map[int]bool{}
	for _, i := range large {
		refused[i] = true
	}
	for i, r := range b.Results {
		if errors.Is(r.Err, engine.ErrTooLarge) != refused[i] || r.Err != nil && engine.IsTransient(r.Err) {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if n := len(broker.Contents(t, topic)); n != len(b.Records)-len(large) {
		t.Errorf("%d records are stored, want %d", n, len(b.Records)-len(large))
	}
}

func withLarge(b *engine.Batch, size int, at ...int) *engine.Batch {
	for _, i := range at {
		b.Records[i].Payload = bytes.Repeat([]byte("0123456789"), size/10)
	}
	return b
}

func TestRecordsThatTheTopicDoesNotTake(t *testing.T) {
	topic := newTopics(t, broker, 1, 1, "max.message.bytes", "100000")
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	wantLargeRefused(t, e, topic, withLarge(enginetest.NewBatch(device, 0, 20), 200_000, 3, 4, 19), 3, 4, 19)
}

// TestLimitThatIsLoweredMeanwhile: the client still writes batches that the broker refuses whole, with the good records
// in them.
func TestLimitThatIsLoweredMeanwhile(t *testing.T) {
	topic := newTopics(t, broker, 1, 1)
	e := open(t, broker.Addrs(), topic, func(o *Options) { o.Compression = "none" })
	defer e.Close()
	if err := e.Store(t.Context(), e.Lane(device), enginetest.NewBatch(device, 0, 1)); err != nil {
		t.Fatal(err)
	}
	alter(t, broker, topic, "max.message.bytes", "20000")
	b := withLarge(enginetest.NewBatch(device, 1, 100), 30_000, 50, 51)
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	for i, r := range b.Results {
		if large := i == 50 || i == 51; errors.Is(r.Err, engine.ErrTooLarge) != large {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if n := len(records(t, topic)); n != 99 {
		t.Errorf("%d records, want 99", n)
	}
}

// TestDeadLetterInParts: a frame whose hex is more than the topic takes is kept whole, and removed whole.
func TestDeadLetterInParts(t *testing.T) {
	topic := newTopics(t, broker, 3, 1, "max.message.bytes", "50000")
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	large, small := enginetest.NewDeadLetter(device, 1), enginetest.NewDeadLetter(device, 2)
	for i := range 300_000 {
		large.Frame = append(large.Frame, byte(i*i>>3))
	}
	b := enginetest.Sized(&engine.Batch{DeadLetters: []engine.DeadLetter{large, small}})
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil || b.Results[0].Err != nil {
		t.Fatal(err, b.Results)
	}
	var refs []string
	each := func(fn func(string, engine.DeadLetter) error) {
		t.Helper()
		if err := e.EachDeadLetter(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	each(func(ref string, d engine.DeadLetter) error {
		want := []engine.DeadLetter{large, small}[len(refs)]
		if !bytes.Equal(d.Frame, want.Frame) || d.Reason != want.Reason {
			t.Errorf("dead letter %d has %d bytes, want %d", len(refs), len(d.Frame), len(want.Frame))
		}
		refs = append(refs, ref)
		return nil
	})
	if len(refs) != 2 {
		t.Fatalf("%d dead letters, want 2", len(refs))
	}
	if err := e.RemoveDeadLetters(t.Context(), refs[:1]); err != nil {
		t.Fatal(err)
	}
	each(func(ref string, _ engine.DeadLetter) error {
		if ref != refs[1] {
			t.Errorf("%s is shown, want %s only", ref, refs[1])
		}
		return nil
	})
	removed := map[string]bool{}
	stored := broker.Contents(t, topic+".dead")
	for _, r := range stored {
		removed[string(r.Key)] = removed[string(r.Key)] || r.Value == nil
	}
	for key, gone := range removed {
		if gone != (key != refs[1]) {
			t.Errorf("%s: removed is %v", key, gone)
		}
	}
}

// TestRemovedDeadLetterIsNotRemembered: somebody else removes it, as `deadletters` does.
func TestRemovedDeadLetterIsNotRemembered(t *testing.T) {
	topic := newTopics(t, broker, 3, 1)
	e, other := open(t, broker.Addrs(), topic), open(t, broker.Addrs(), topic)
	defer e.Close()
	defer other.Close()
	b := enginetest.Sized(&engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 1)}})
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	ask := func() uint64 {
		t.Helper()
		q := &engine.Batch{Known: [engine.Kinds]bool{engine.KindDeadLetter: true}}
		if err := e.Store(t.Context(), e.Lane(device), q); err != nil {
			t.Fatal(err)
		}
		return q.Epochs[engine.KindDeadLetter]
	}
	before := ask()
	if again := ask(); again != before {
		t.Errorf("epoch %d, then %d, though nothing is removed", before, again)
	}
	err := other.EachDeadLetter(t.Context(), func(ref string, _ engine.DeadLetter) error {
		return other.RemoveDeadLetters(t.Context(), []string{ref})
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := ask(); after == before {
		t.Error("the removal is not noticed")
	}
}

// TestDatesOfDevices: one of 1970 and one of 2080 are stored with the time of receipt, beside good ones.
func TestDatesOfDevices(t *testing.T) {
	topic := newTopics(t, broker, 1, 1, "message.timestamp.after.max.ms", "3600000")
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	b := enginetest.NewBatch(device, 0, 4)
	for i, at := range []time.Time{time.Unix(0, 0), time.Date(2080, 1, 1, 0, 0, 0, 0, time.UTC)} {
		r := &b.Records[i]
		r.Timestamp, r.Time = at.UnixMilli(), at.UTC().AppendFormat(nil, timeLayout)
	}
	from := time.Now()
	if err := e.Store(t.Context(), e.Lane(device), b); err != nil {
		t.Fatal(err)
	}
	for i, r := range broker.Contents(t, topic) {
		if b.Results[i].Err != nil || r.Timestamp.Before(from.Truncate(time.Millisecond)) || r.Timestamp.After(time.Now()) {
			t.Errorf("record %d has the time %v: %v", i, r.Timestamp, b.Results[i].Err)
		}
	}
}

// TestGroups: how far a consumer group is behind, and what it has missed.
func TestGroups(t *testing.T) {
	topic := newTopics(t, broker, 2, 1)
	e := open(t, broker.Addrs(), topic, func(o *Options) { o.Groups = []string{"slow", "new"} })
	defer e.Close()
	var stored [2]int64
	for n := range 40 {
		name := fmt.Sprint(device[:10], n)
		if err := e.Store(t.Context(), e.Lane(name), enginetest.NewBatch(name, 0, 10)); err != nil {
			t.Fatal(err)
		}
		stored[partitionOf(name, 2)] += 10
	}
	var at kadm.Offsets
	at.AddOffset(topic, 0, 5, -1)
	at.AddOffset(topic, 1, stored[1], -1)
	testkit.Succeeds(t, "commit", testkit.Timeout, func() error {
		_, err := broker.Admin.CommitOffsets(context.Background(), "slow", at)
		return err
	})
	want := func(name string, lag, expired int64) {
		t.Helper()
		s, err := e.Probe(t.Context())
		g := s.Groups[name]
		if err != nil || g.Lag != lag || g.Unread != lag || g.Expired != expired {
			t.Errorf("%s: %+v, %v, want lag %d, expired %d", name, g, err, lag, expired)
		}
	}
	want("slow", stored[0]-5, 0)
	want("new", stored[0]+stored[1], 0)
	var cut kadm.Offsets
	cut.AddOffset(topic, 0, 25, -1)
	if _, err := broker.Admin.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	want("slow", stored[0]-25, 20)
	if s, err := e.Probe(t.Context()); err != nil || s.Length != stored[0]+stored[1]-25 || len(s.Shards) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestPartitionsAreAdded: a device that moves to another partition keeps its lane, and its order in time.
func TestPartitionsAreAdded(t *testing.T) {
	topic := newTopics(t, broker, 1, 1)
	e := open(t, broker.Addrs(), topic)
	defer e.Close()
	moved := ""
	for n := 0; moved == ""; n++ {
		if name := fmt.Sprint(device[:10], n); partitionOf(name, 4) != 0 {
			moved = name
		}
	}
	store := func(n int) {
		t.Helper()
		if err := e.Store(t.Context(), e.Lane(moved), enginetest.NewBatch(moved, n, 1)); err != nil {
			t.Fatal(err)
		}
	}
	store(0)
	if _, err := broker.Admin.CreatePartitions(t.Context(), 3, topic, topic+".dead", topic+".messages"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the new partitions", func() bool {
		s, err := e.Probe(context.Background())
		return err == nil && len(s.Shards) == 4
	})
	store(1)
	all := broker.Contents(t, topic)
	if len(all) != 2 || all[0].Partition != 0 || all[1].Partition != partitionOf(moved, 4) ||
		all[1].Timestamp.Before(all[0].Timestamp) {
		t.Errorf("%v", all)
	}
	q := &engine.Batch{Known: [engine.Kinds]bool{true, true, true}}
	if err := e.Store(t.Context(), e.Lane(moved), q); err != nil || q.Epochs[0] != 1 {
		t.Errorf("epoch %d, %v, although nothing is lost", q.Epochs[0], err)
	}
}
