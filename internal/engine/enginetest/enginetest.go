// Package enginetest is the suite that every engine passes. It asks only for what the contract in
// package engine promises, works on a real store, and reads what was stored with a client of its
// own, never through the engine under test.
package enginetest

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Harness is one real, empty store and everything the suite does to it.
type Harness struct {
	// Open opens an engine on the store. The suite closes it. A second call, after the first
	// engine was closed, opens the same store again.
	Open func(t *testing.T) engine.Engine

	// Records, DeadLetters and Messages return everything stored so far, in stored order, read by an
	// independent client while the engine may be open.
	Records     func(t *testing.T) []Stored
	DeadLetters func(t *testing.T) []StoredDead
	Messages    func(t *testing.T) []engine.Message

	// Break makes the store refuse writes or unreachable, at once and without a warning, and
	// Heal cures it. What was confirmed before Break is still there after Heal.
	Break, Heal func(t *testing.T)

	// Hang makes the store accept a write and not answer it, and Resume lets it go on.
	Hang, Resume func(t *testing.T)

	// Lose removes everything that is stored, behind the engine's back.
	Lose func(t *testing.T)

	// Documents says that the store takes payloads only as JSON documents, and keeps what they mean, not their bytes.
	Documents bool

	// What the engine can beside engine.Engine, each the interface of that name.
	Recogniser, Inspector, Tailer, DeadLetterStore, RecordReader, DeviceReader, Consumable bool
}

// Stored is one published record as an independent client finds it.
type Stored struct {
	DeviceID  string
	Codec     string
	Timestamp int64 // ms since 1970 UTC
	Payload   string
}

// StoredDead is one dead letter as an independent client finds it.
type StoredDead struct {
	DeviceID  string
	Codec     string
	Reason    string
	Received  time.Time // to the millisecond
	Frame     []byte    // decoded from hex
	Transport string
}

// Run runs the whole suite. newHarness is called once for every case and cleans up after itself
// with t.Cleanup.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	always := func(Harness) bool { return true }
	groups := []struct {
		name    string
		applies func(Harness) bool
		cases   []testCase
	}{
		{"store", always, storeCases},
		{"duplicates", always, duplicateCases},
		{"dead letters", func(h Harness) bool { return h.DeadLetterStore }, deadLetterCases},
		{"messages", always, messageCases},
		{"truth", always, truthCases},
		{"faults", always, faultCases},
		{"tail", func(h Harness) bool { return h.Tailer }, tailCases},
		{"tail messages", func(h Harness) bool { return h.Tailer }, messageTailCases},
		{"each record", func(h Harness) bool { return h.RecordReader }, eachRecordCases},
		{"last records", func(h Harness) bool { return h.DeviceReader }, lastRecordCases},
		{"consumer", func(h Harness) bool { return h.Consumable }, consumerCases},
		{"inspect", func(h Harness) bool { return h.Inspector }, inspectCases},
		{"lifecycle", always, lifecycleCases},
	}
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					if h := newHarness(t); group.applies(h) {
						c.run(t, h)
					}
				})
			}
		})
	}
}

// testCase is one promise of the contract.
type testCase struct {
	name string
	run  func(t *testing.T, h Harness)
}
