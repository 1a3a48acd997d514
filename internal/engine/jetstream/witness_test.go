package jetstream

import (
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestWhatIsLost begins another epoch, and what the stream's own limits remove does not.
func TestWhatIsLost(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	oldest := func(t *testing.T, s natsjs.Stream) {
		if err := s.DeleteMsg(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		limit  func(*natsjs.StreamConfig)
		happen func(t *testing.T, s natsjs.Stream)
		lost   bool
	}{
		{"nothing", nil, func(*testing.T, natsjs.Stream) {}, false},
		{"purged", nil, func(t *testing.T, s natsjs.Stream) {
			if err := s.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the newest deleted", nil, func(t *testing.T, s natsjs.Stream) {
			if err := s.DeleteMsg(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"one within deleted", nil, func(t *testing.T, s natsjs.Stream) {
			if err := s.DeleteMsg(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the oldest deleted", nil, oldest, true},
		{"limited by number", func(c *natsjs.StreamConfig) { c.MaxMsgs = 5 }, func(*testing.T, natsjs.Stream) {}, false},
		{"limited by bytes", func(c *natsjs.StreamConfig) { c.MaxBytes = 5000 }, func(*testing.T, natsjs.Stream) {}, false},
		{"limited by age, and deleted", func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour }, oldest, true},
		{"consumed", func(c *natsjs.StreamConfig) { c.Retention = natsjs.WorkQueuePolicy }, oldest, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, n)
			o := Options{Shards: 1, Durability: Leader}
			makeStreams(t, n, &o, func(config *natsjs.StreamConfig) {
				config.MaxAge = 0
				if c.limit != nil {
					c.limit(config)
				}
			})
			e := open(t, n, 1)
			defer e.Close()
			b := enginetest.NewBatch(tracker, 0, 10)
			if err := e.Store(t.Context(), 0, b); err != nil {
				t.Fatal(err)
			}
			s, err := n.JetStream().Stream(t.Context(), "TELEMETRY_0")
			if err != nil {
				t.Fatal(err)
			}
			c.happen(t, s)
			asked := &engine.Batch{Known: [engine.Kinds]bool{true}}
			if err := e.Store(t.Context(), 0, asked); err != nil {
				t.Fatal(err)
			}
			if lost := asked.Epochs[0] != b.Epochs[0]; lost != c.lost {
				t.Errorf("another epoch: %v, want %v", lost, c.lost)
			}
		})
	}
}

// TestAgedIsNotLost compares what a lane has stored lately with what is gone.
func TestAgedIsNotLost(t *testing.T) {
	now := time.Now()
	info := &natsjs.StreamInfo{Config: natsjs.StreamConfig{MaxAge: time.Minute}}
	p := &position{created: info.Created, newest: 300, own: []mark{
		{now.Add(-3 * time.Minute), 100}, {now.Add(-2 * time.Minute), 200}, {now.Add(-30 * time.Second), 300},
	}}
	for first, lost := range map[uint64]bool{1: false, 100: false, 250: false, 300: false, 301: true} {
		info.State = natsjs.StreamState{FirstSeq: first, LastSeq: 300}
		if got := p.lost(info, true, now); got != lost {
			t.Errorf("first sequence %d: lost is %v, want %v", first, got, lost)
		}
	}
	info.State = natsjs.StreamState{FirstSeq: 1, LastSeq: 299} // restored from an older state
	if !p.lost(info, true, now) {
		t.Error("an older state is taken for the newest")
	}
}
