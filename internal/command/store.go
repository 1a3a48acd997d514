package command

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Store keeps commands and decides, for all instances that share it, who sends a command, whose answer a message is,
// and which result is the final one. It passes the suite in commandtest. Many goroutines may use it at once.
//
// What a method says is stored when it returns without an error. An error that is not named here means that the store
// did not answer: the call may have had its effect, and may be repeated without harm.
//
// A device has one lease. The command that holds it has been sent, and no other command is sent to the device as long
// as its answer may come: until the answer, or until the lease ends by itself, some time after nobody waits for the
// answer any more. So an answer that comes late, on another connection or at another instance is never taken for
// another command's.
type Store interface {
	// Submit keeps a new command, complete and valid, and sets it on its way to the instance that holds the device. If the
	// id is known nothing changes, created is false, and e is the entry that is kept. If too many commands are open
	// (MaxOpenOfDevice, MaxOpen) it keeps nothing and fails with a [RefusedError].
	Submit(ctx context.Context, c Command) (e Entry, created bool, err error)

	// Lookup returns a command by its id, or ErrUnknown.
	Lookup(ctx context.Context, id string) (Entry, error)

	// List returns a page of the commands that a valid query selects: all that are open, and of those that have ended
	// since yesterday 256 of each device and 10,000 in all at least, in the order in which they were taken.
	List(ctx context.Context, q Query) (Page, error)

	// Cancel gives a Queued command the final state Cancelled. It leaves any other as it is. It returns the entry as it is
	// then, or ErrUnknown.
	Cancel(ctx context.Context, id string) (Entry, error)

	// Begin asks for the device's lease, to send the command now. When it is granted the command is Sent: nobody sends it
	// again unless it is withdrawn, or idempotent and its instance dies. Begin ends a command that has expired, and takes
	// one whose device another instance holds there. It may fail with ErrUnknown.
	Begin(ctx context.Context, id string, t Timeouts) (Lease, error)

	// Withdraw takes Begin back, because nothing of the command reached the device: it is Queued again, and the lease is
	// free. A command of several attempts stays Sent, for an earlier one may have reached the device. Withdraw does
	// nothing to a command that this run has not begun.
	Withdraw(ctx context.Context, id string) error

	// Return gives a command back that the Receiver has and cannot send, because the device is not connected here any
	// more. The store takes it to where the device is, which may be here again, or keeps it until the device connects.
	Return(ctx context.Context, id string) error

	// Settle finds out which command a message answers: the one that holds the lease of the message's device, wherever it
	// was sent, if the message has the form for it (Message.MayAnswer, Message.Answers). A Sent command becomes Nacked, or
	// Answered with the payload as response. The lease ends t.Gap later; further messages until then are late answers. The
	// first message for a command that is final is a late answer, and ends the lease t.Gap later too. A command that was
	// sent more than once may be answered more than once: its lease goes on for t.Quarantine.
	Settle(ctx context.Context, m *Message, t Timeouts) (Match, Entry, error)

	// Finish gives the command the final state and reason of e now, by the store's clock, unless it has one. It returns
	// the entry as it is then. A command that was Sent keeps its device's lease for t.Quarantine, because its answer may
	// still come. If e has fewer Attempts than are kept, nothing of the last one reached the device, and Finish withdraws
	// it first. A command that the store has lost is finished all the same, from what e says.
	Finish(ctx context.Context, e Entry, t Timeouts) (Entry, error)

	// Publish keeps an event for whoever reads them, with the first MaxEventPayload bytes of its payload and its real
	// size.
	Publish(ctx context.Context, e *Event) error

	// Connected says that a device is connected here, Disconnected that this connection has ended. They return at once.
	// The store makes known in its own time which instance holds the device, and again when it lost that. The newest
	// connection wins, wherever it is: what is said of an older one has no effect.
	Connected(c Connection)
	Disconnected(c Connection)

	// Run hands commands to the receiver, also those that a crash left. It ends those that nobody carries out, and cleans
	// up after instances that died. It repeats what fails until ctx ends. It is called once.
	Run(ctx context.Context, r Receiver)

	// Shared reports whether other instances may finish commands of this store.
	Shared() bool

	// Err says why the store can keep no commands, as far as Run has tried. It is nil while it can.
	Err() error

	// Close releases everything. No other method is called during or after it.
	Close() error
}

// ErrUnknown is a command id that the store does not know, or not any more.
var ErrUnknown = errors.New("no command of this id")

// Timeouts are how long things may take.
type Timeouts struct {
	Send       time.Duration // from Begin until the bytes are on their way, or it is withdrawn
	Quarantine time.Duration // after a command's timeout, while its answer may still come
	Gap        time.Duration // after an answer, before the next command
}

// Lease is what Begin says. Other programs know it as a turn: commands:turn:{imei} in Redis, the table turns in SQLite.
type Lease struct {
	Granted bool
	Wait    time.Duration // not granted: another command holds it for so long at most. 0: this one is not to be sent here
	Ended   bool          // this call has given the command its final state
	Entry   Entry         // as it is now
}

// Receiver carries out commands at an instance. Its methods wait for nothing, but for Unreachable.
type Receiver interface {
	// Receive gets a command that is Queued, or Sent and idempotent, for a device that should be connected here. It may
	// get the same one more than once.
	Receive(e Entry)
	// Finished gets a command that Run, on its own, has given its final state.
	Finished(e Entry)
	// Unreachable reports whether no command can reach the device, as far as is known: it has only ever sent datagrams.
	Unreachable(ctx context.Context, imei string) bool
	// Connections are the devices that are connected here now. They may be ranged over more than once.
	Connections() iter.Seq[Connection]
	// TakenOver says that the device has logged in at another instance since the connection of that number, which is to be
	// closed with all older ones. It may come more than once.
	TakenOver(imei string, number uint64)
}

// Connection is one connection of a device.
type Connection struct {
	IMEI   string
	Since  time.Time // its login
	Number uint64    // later connections of this process have higher ones
}
