package testkit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// The engine in memory passes the suite of real ones, with one lane and with eight: the suite compares each device's
// order and no other, and leaves out what an engine cannot do.
func TestEngine(t *testing.T) {
	for _, lanes := range []int{1, 8} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			enginetest.Run(t, func(*testing.T) enginetest.Harness {
				e := testkit.NewEngine(lanes)
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
