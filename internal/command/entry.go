package command

import (
	"slices"
	"time"
)

// State is where a command is on its way. It goes from queued to sent to one of the final ones, or from queued to a
// final one at once; back from sent to queued only when it is certain that nothing of it reached the device.
type State string

// The states.
const (
	Queued    State = "queued"    // kept, not sent
	Sent      State = "sent"      // may have been sent; the answer is awaited
	Answered  State = "answered"  // final: the device answered
	Nacked    State = "nacked"    // final: the device says that it is another one than the Codec 14 command names
	TimedOut  State = "timed_out" // final: sent, and no answer in time
	Expired   State = "expired"   // final: never sent
	Failed    State = "failed"    // final: for the reason given
	Cancelled State = "cancelled" // final: never sent, because its sender took it back
)

// FinalStates are those that a command ends in.
var FinalStates = []State{Answered, Nacked, TimedOut, Expired, Failed, Cancelled}

// Final reports whether nothing follows.
func (s State) Final() bool { return slices.Contains(FinalStates, s) }

// Entry is a command with what has become of it.
type Entry struct {
	Command
	State    State
	Parked   bool      // Queued, and its device is connected nowhere as far as the store knows
	Attempts int       // how often it may have been sent
	SentAt   time.Time // the first attempt; zero if there was none
	Deadline time.Time // until when the answer is awaited; zero if it was not sent

	// What follows is set with the final state.
	FinishedAt time.Time
	Response   []byte // the device's answer
	Reason     string // for a final state that is not Answered, in words
	Instance   string // that sent it last or, if none did, that finished it
}

// Finished returns the entry with its final state.
func (e Entry) Finished(s State, reason string, at time.Time) Entry {
	e.State, e.Reason, e.FinishedAt = s, reason, at
	return e
}
