// Package commandtest is the suite that every command store passes. It asks only for what the contract of command.Store
// promises, works on a real store, and reads what was announced with a client of its own, never through the store under
// test.
package commandtest

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Backend is one real, empty store and everything the suite does to it.
type Backend struct {
	// Open opens the store as a process of this instance does when it starts, with room for MaxOpen commands. The suite
	// runs it and closes it. A later call opens the same store again: as the same instance, after that was closed or
	// crashed; as another one at the same time, if the backend is Shared.
	Open func(t *testing.T, instance string) command.Store

	// Crash ends a store as a kill -9 ends its process: nothing that it does from now on has an effect. Run may still be
	// going on. The suite ends that afterwards and calls Close, whose error it ignores. Nil says that to end Run and to
	// Close does nothing that a killed process would not have done.
	Crash func(t *testing.T, s command.Store)

	// Results returns the final results as they were announced, a command that was announced twice twice, and Events what
	// was published, in order. Both are read by an independent client while the store may be open.
	Results func(t *testing.T) []command.Entry
	Events  func(t *testing.T) []Event

	// Shared says that several instances may have the store open at the same time.
	Shared bool

	// Takeover is how long after a crash the other instances have noticed it at the latest, if the backend is Shared.
	Takeover time.Duration
}

// MaxOpen is how many commands may be open in the stores of the suite.
const MaxOpen = command.MaxOpenOfDevice + 20

// Event is an event as it was published.
type Event struct {
	command.Event
	Size int // of the whole payload
}

// Run runs the whole suite. newBackend is called once for every case and cleans up after itself with t.Cleanup.
func Run(t *testing.T, newBackend func(t *testing.T) Backend) {
	groups := []struct {
		name   string
		shared bool // only for backends that are Shared
		cases  []testCase
	}{
		{"submit", false, submitCases},
		{"list", false, listCases},
		{"bounds", false, boundCases},
		{"begin", false, beginCases},
		{"settle", false, settleCases},
		{"finish", false, finishCases},
		{"events", false, eventCases},
		{"hand out", false, handOutCases},
		{"ends by itself", false, endCases},
		{"crash", false, crashCases},
		{"shared", true, sharedCases},
	}
	for _, group := range groups {
		if group.shared && !newBackend(t).Shared {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, newBackend(t)) })
			}
		})
	}
}

// testCase is one promise of the contract.
type testCase struct {
	name string
	run  func(t *testing.T, b Backend)
}
