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
	p.id, p.fence, p.lastSubject = "late", l.positions[0].fenceOf(l.run), subject(0, 0, tracker)
	l.batch, l.pending = late.ID, p

	if err := e.Store(t.Context(), 0, next); err != nil {
		t.Fatal(err)
	}
	for i := range late.Records {
		l.setItem(late, 0, i)
		l.setBatch(p, i+1)
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
