package command

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Store keeps commands and decides, for all instances that share it, who sends one, whose answer a message is, and which
// result is the final one. It passes the suite in commandtest. Its methods may be called by many goroutines at once; what they
// say is stored when they return without an error. An error that is none of those named here means that the store could
// not be asked or did not answer: the call may have had its effect, and may be repeated without harm.
//
// A device has one turn. The command that has it has been sent, and for as long as its answer may come no other one
// is: until the answer, or until the turn ends by itself, some time after the answer is not waited for any more. So an answer
// that comes late, on another connection or at another instance is never taken for another command's.
type Store interface {
	// Submit keeps a new command, which is complete and valid, and sets it on its way to the instance that holds the
	// device. If the id is known nothing is changed, created is false, and the entry is the one that is kept.
	Submit(ctx context.Context, c Command) (e Entry, created bool, err error)

	// Lookup returns a command by its id, or ErrUnknown.
	Lookup(ctx context.Context, id string) (Entry, error)

	// Cancel gives a command that is Queued its final state Cancelled, and returns the entry as it is then: one that is
	// not Queued is left as it is. It may fail with ErrUnknown.
	Cancel(ctx context.Context, id string) (Entry, error)

	// Begin asks for the device's turn to send the command now. When it is granted the command is Sent: whatever
	// happens from now on, nobody sends it again unless it is withdrawn, or idempotent and its instance dies. A
	// command that has expired is given its final state instead, and one whose device another instance holds is taken there.
	// It may fail with ErrUnknown.
	Begin(ctx context.Context, id string, p Timeouts) (Lease, error)

	// Withdraw takes Begin back, because nothing of the command reached the device: it is Queued again, and the turn is
	// free. A command of several attempts stays Sent, for an earlier one may have reached the device. It does nothing to a
	// command that this run has not begun.
	Withdraw(ctx context.Context, id string) error

	// Return gives a command back that the Receiver took and cannot send, because the device is not connected here any
	// more. It is taken to where the device is, which may be here again, or waits for it.
	Return(ctx context.Context, id string) error

	// Settle finds out which command a message answers: the one that has the turn of the message's device, wherever it was
	// sent, if the message has the form for it (Message.MayAnswer, Message.Answers). A command that is Sent is given its final state,
	// Nacked or Answered with the payload as response; the turn ends p.Gap later, during which further messages are late answers
	// to it. The first message for a command that is final is a late answer, and ends the turn p.Gap later too. A command that was
	// sent more than once may be answered more than once: its turn goes on for p.Quarantine.
	Settle(ctx context.Context, m *Message, p Timeouts) (Match, Entry, error)

	// Finish gives the command the final state and reason of e now, by the store's clock, if it has none yet, and returns the
	// entry as it is then. A command that was Sent keeps its device's turn for p.Quarantine, because its answer may still come. A
	// command that the store has lost is finished all the same, from what e says.
	Finish(ctx context.Context, e Entry, p Timeouts) (Entry, error)

	// Publish keeps an event for whoever reads them, with the first MaxEventPayload bytes of its payload and its real size.
	Publish(ctx context.Context, e *Event) error

	// Connected says that a device is connected here, Disconnected that this connection of it has ended. They return at
	// once; the store makes known in its own time which instance holds the device, and that again when it lost it. A
	// newer connection, wherever, wins: what is said of an older one has no effect on it.
	Connected(c Connection)
	Disconnected(c Connection)

	// Run hands commands to the receiver, those left by a crash included, sees to it that those that nobody
	// carries out end all the same, and cleans up after instances that died, until ctx ends. What fails it tries again. It
	// is called once.
	Run(ctx context.Context, r Receiver)

	// Err says why the store can keep no commands, as far as Run has found out by trying; nil while it can.
	Err() error

	// Close releases everything. No other method is called during or after it.
	Close() error
}

// ErrUnknown is a command id that the store does not know, or not any more.
var ErrUnknown = errors.New("no command of this id")

// Timeouts is how long things may take.
type Timeouts struct {
	Send       time.Duration // from Begin until the bytes are on their way, or it is withdrawn
	Quarantine time.Duration // how long after its timeout a command's answer may still come
	Gap        time.Duration // how long after an answer the next command is held back
}

// Lease is what Begin says.
type Lease struct {
	Granted bool
	Wait    time.Duration // not granted: the turn is another command's for so long at most. 0: this command is not to be sent here
	Ended   bool          // this call has given the command its final state
	Entry   Entry         // as it is now
}

// Receiver carries out commands at an instance.
type Receiver interface {
	// Receive is called with a command that is Queued, or Sent and idempotent, for a device that should be connected here, and perhaps more
	// than once with the same one. It does not wait for anything.
	Receive(e Entry)
	// Finished is called with a command that Run, on its own, has given its final state. It does not wait for anything.
	Finished(e Entry)
	// Connections are the devices that are connected here.
	Connections() iter.Seq[Connection]
}

// Connection is one connection of a device.
type Connection struct {
	IMEI   string
	Since  time.Time // its login
	Number uint64    // later connections of this process have higher ones
}
