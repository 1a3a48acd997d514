package testkit_test

import (
	"errors"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The engine in memory passes the suite of real ones, with one lane, with eight, and with shards: the suite compares
// each device's order and no other, and leaves out what an engine cannot do.
func TestEngine(t *testing.T) {
	for name, open := range map[string]func() *testkit.Engine{
		"1 lane":   func() *testkit.Engine { return testkit.NewEngine(1) },
		"8 lanes":  func() *testkit.Engine { return testkit.NewEngine(8) },
		"8 shards": func() *testkit.Engine { return testkit.NewShards(8) },
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(*testing.T) enginetest.Harness {
				e := open()
				down := &engine.Error{Transient: true, Err: errors.New("down")}
				return enginetest.Harness{
					Open:            func(*testing.T) engine.Engine { return e },
					Records:         func(t *testing.T) []enginetest.Stored { return stored(t, e) },
					DeadLetters:     func(*testing.T) []enginetest.StoredDead { return storedDead(e) },
					Messages:        func(*testing.T) []engine.Message { return e.Messages() },
					Break:           func(*testing.T) { e.Fail(func(*engine.Batch) error { return down }) },
					Heal:            func(*testing.T) { e.Fail(nil) },
					Hang:            func(*testing.T) { e.Hold() },
					Resume:          func(*testing.T) { e.Release() },
					Lose:            func(*testing.T) { e.Lose() },
					DeadLetterStore: true,
				}
			})
		})
	}
}

// Of two shards one fails, one hangs, and each does so by itself.
func TestShards(t *testing.T) {
	e := testkit.NewShards(2)
	down := &engine.Error{Transient: true, Err: errors.New("down")}
	e.FailShard(0, down)
	if err := e.Store(t.Context(), 0, enginetest.Sized(&engine.Batch{})); !errors.Is(err, down) {
		t.Errorf("the shard that fails: %v", err)
	}
	if err := e.Store(t.Context(), 1, enginetest.Sized(&engine.Batch{})); err != nil {
		t.Errorf("the other one: %v", err)
	}
	status, err := e.Probe(t.Context())
	if err != nil || len(status.Shards) != 2 || !errors.Is(status.Shards[0].Err, down) || status.Shards[1].Err != nil {
		t.Errorf("one of two: %+v, %v", status.Shards, err)
	}
	e.HoldLane(1)
	if status, err := e.Probe(t.Context()); !errors.Is(err, down) || status.Shards[1].Err == nil {
		t.Errorf("both: %+v, %v", status.Shards, err)
	}
	e.FailShard(0, nil)
	e.Release()
	if _, err := e.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func stored(t *testing.T, e *testkit.Engine) (all []enginetest.Stored) {
	for _, r := range e.Records() {
		at, err := time.Parse(time.RFC3339, r.Time)
		if err != nil {
			t.Fatal(err)
		}
		all = append(
			all,
			enginetest.Stored{DeviceID: r.DeviceID, Codec: r.Codec, Timestamp: at.UnixMilli(), Payload: r.Payload},
		)
	}
	return all
}

func storedDead(e *testkit.Engine) (all []enginetest.StoredDead) {
	for _, d := range e.DeadLetters() {
		all = append(all, enginetest.StoredDead{
			DeviceID: d.DeviceID, Codec: d.Codec, Reason: d.Reason, Received: d.Received, Frame: d.Frame, Transport: d.Transport,
		})
	}
	return all
}
