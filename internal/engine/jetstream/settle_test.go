package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const tracker = "356307042441013"

// TestLatePartIsRefused has a part arrive whose lane has given it up: it stood in the socket of a frozen server.
func TestLatePartIsRefused(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	e := open(t, n, 1)
	defer e.Close()
	first, late, next := enginetest.NewBatch(tracker, 0, 3), enginetest.NewBatch(tracker, 3, 3),
		enginetest.NewBatch(tracker, 6, 3)
	if err := e.Store(t.Context(), 0, first); err != nil {
		t.Fatal(err)
	}
	// What the lane does to write a part, but for sending it.
	l := e.lanes[0]
	p := l.cut(late, 0, late.Results)
	p.id, p.fence = "late", l.positions[0].fenceOf(l.run)
	p.firstSubject, p.lastSubject = subject(0, 0, tracker), subject(0, 0, tracker)
	l.batch, l.pending = late.ID, p

	if err := e.Store(t.Context(), 0, next); err != nil {
		t.Fatal(err)
	}
	l.items = l.items[:0]
	for i := range late.Records {
		l.setPart(late, p, i)
		if i == p.last {
			l.set(headerCommit, "1")
			answer, err := n.Conn().RequestMsgWithContext(t.Context(), &l.message)
			if err != nil {
				t.Fatal(err)
			}
			var stored confirmation
			if err := json.Unmarshal(answer.Data, &stored); err != nil || stored.Error == nil {
				t.Errorf("the late part is answered %s, want it refused (%v)", answer.Data, err)
			}
		} else if err := n.Conn().PublishMsg(&l.message); err != nil {
			t.Fatal(err)
		}
	}
	wantStored(t, n, first, next)
}

// TestLostAnswer has the servers store a batch and the network swallow what they say, also where another instance
// stores something of the device before the batch comes again.
func TestLostAnswer(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		t.Run(fmt.Sprint("another instance ", foreign), func(t *testing.T) {
			n := testkit.StartNATS(t, 1)
			r, err := testkit.NewRelay(n.Addr(0))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := openAt(t, "nats://"+r.Addr(), 1)
			defer e.Close()
			first, second := enginetest.NewBatch(tracker, 0, 1500), enginetest.NewBatch(tracker, 1500, 1500)
			if err := e.Store(t.Context(), 0, first); err != nil {
				t.Fatal(err)
			}
			batches := []*engine.Batch{first}

			r.Hang()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := e.Store(ctx, 0, second); !engine.IsAmbiguous(err) || !engine.IsTransient(err) {
				t.Fatalf("a batch without an answer: %v", err)
			}
			part := *second
			part.Records = part.Records[:maxPartItems]
			batches = append(batches, &part)
			if foreign {
				other := open(t, n, 1)
				defer other.Close()
				more := enginetest.NewBatch(tracker, 5000, 300)
				if err := other.Store(t.Context(), 0, more); err != nil {
					t.Fatal(err)
				}
				batches = append(batches, more)
			}
			r.Drop()
			testkit.Succeeds(t, "the batch", patience, func() error { return e.Store(t.Context(), 0, second) })
			for i, result := range second.Results {
				if result.Duplicate != (i < maxPartItems) {
					t.Fatalf("item %d: duplicate is %v, want the first part found", i, result.Duplicate)
				}
			}
			rest := *second
			rest.Records = rest.Records[maxPartItems:]
			wantStored(t, n, append(batches, &rest)...)
		})
	}
}

// TestPartStoredInPart has the only copy's server be back with the beginning of a part, as one that was killed while it
// wrote it, also where the part's last item is of the same device as the last one that is there.
func TestPartStoredInPart(t *testing.T) {
	const other = "350000000000001"
	for name, c := range map[string]struct {
		devices []string // of the part's items
		stored  int
		foreign bool // another instance stores something of the first device meanwhile
	}{
		"one device":                   {[]string{tracker, tracker, tracker, tracker}, 2, false},
		"the last one has nothing":     {[]string{tracker, tracker, other}, 2, false},
		"the last one has its first":   {[]string{tracker, other, other}, 2, false},
		"the first one alone":          {[]string{other, tracker, tracker}, 1, false},
		"nothing":                      {[]string{tracker, other}, 0, false},
		"another instance goes on":     {[]string{tracker, other, tracker}, 2, true},
		"another instance, all of it":  {[]string{tracker, other, tracker}, 3, true},
		"another instance, none of it": {[]string{tracker, other, tracker}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := testkit.StartNATS(t, 1)
			r, err := testkit.NewRelay(n.Addr(0))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := openAt(t, "nats://"+r.Addr(), 1)
			defer e.Close()
			first, batch := enginetest.NewBatch(tracker, 0, 3), &engine.Batch{}
			for i, device := range c.devices {
				batch.Records = append(batch.Records, enginetest.NewRecord(device, 3+i))
			}
			enginetest.Sized(batch)
			if err := e.Store(t.Context(), 0, first); err != nil {
				t.Fatal(err)
			}

			r.Hang()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := e.Store(ctx, 0, batch); !engine.IsAmbiguous(err) {
				t.Fatalf("a batch without an answer: %v", err)
			}
			there, rest := *batch, *batch
			there.Records, rest.Records = batch.Records[:c.stored], batch.Records[c.stored:]
			wantStored(t, n, first, batch)
			forget(t, n, len(first.Records)+c.stored, len(rest.Records))
			batches := []*engine.Batch{first, &there}
			if c.foreign {
				instance := open(t, n, 1)
				defer instance.Close()
				more := enginetest.NewBatch(tracker, 5000, 300)
				if err := instance.Store(t.Context(), 0, more); err != nil {
					t.Fatal(err)
				}
				batches = append(batches, more)
			}
			r.Drop()
			testkit.Succeeds(t, "the batch", patience, func() error { return e.Store(t.Context(), 0, batch) })
			for i, result := range batch.Results {
				if result.Duplicate != (i < c.stored) {
					t.Errorf("item %d: duplicate is %v, and %d were there", i, result.Duplicate, c.stored)
				}
			}
			wantStored(t, n, append(batches, &rest)...)
		})
	}
}

// forget deletes so many records behind the first ones.
func forget(t *testing.T, n *testkit.NATS, behind, count int) {
	t.Helper()
	stream, err := n.JetStream().Stream(t.Context(), streamName(engine.KindRecord, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		if err := stream.DeleteMsg(t.Context(), uint64(behind+i+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOldServerIsRefused(t *testing.T) {
	for version, old := range map[string]bool{
		"2.9.25": true, "2.11.0": true, "2.12.0": false, "2.15.3": false, "3.0.0-dev": false, "": true,
	} {
		err := oldServer(version)
		if (err != nil) != old || old && !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%q: %v", version, err)
		}
	}
}
