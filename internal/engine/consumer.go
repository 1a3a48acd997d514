package engine

import (
	"context"
	"errors"
	"time"
)

// Consumable is an engine that gives its records to groups of consumers, each of which goes on where it was.
type Consumable interface {
	// Consumer makes a member of that group. A group has a name that ValidGroup takes. One that the engine does not know
	// begins with the oldest record kept. The context is that of the call only. The engine need not be reachable.
	Consumer(ctx context.Context, group string) (Consumer, error)
}

// Consumer reads every record at least once, in each device's stored order. One member of a group reads at a time, or
// one of a shard or partition; the others wait for their turn, which comes when that one is closed, or has been dead
// for a while. One goroutine at a time uses a consumer, but for Lag, which may be called beside the others.
type Consumer interface {
	// Next returns the next records, n at the most: those behind the ones that it gave before, at first those behind the
	// last ones committed by the group. It waits for the first one, but not longer than wait, and then gives none. The
	// payloads are the caller's. With an error it has given nothing. The error is ctx's or an *Error; one that is ErrTurn
	// says that it waited in vain, for another member reads: nothing that was given is to be delivered any more, and
	// Commit leaves it to that one.
	Next(ctx context.Context, n int, wait time.Duration) ([][]byte, error)

	// Commit says that everything that Next has given is delivered: no member of the group gets it again. After a failure
	// it may be called again, before or after a further Next. One that is ErrTurn says that another member has come to
	// read since, and may deliver some of it again: there is nothing more to commit then.
	Commit(ctx context.Context) error

	// Holds fails by ErrTurn if the turn is lost, as Next does: nothing that was given is to be delivered any more. One
	// that cannot tell returns nil, or an error that is not ErrTurn.
	Holds(ctx context.Context) error

	// Lag is how far the group has got. Expired counts what this consumer has found missing.
	Lag(ctx context.Context) (Group, error)

	// Close gives the turn to others. What was not committed is theirs.
	Close() error
}

// ErrTurn is in the chain of an error of a consumer that says that another member of its group reads. It is transient.
var ErrTurn = errors.New("another process of the group reads")

// MaxGroupName is how long the name of a consumer's group may be.
const MaxGroupName = 64

// ValidGroup reports whether every engine takes the group's name: letters, digits, hyphens and underscores of ASCII.
func ValidGroup(name string) bool {
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= MaxGroupName
}
