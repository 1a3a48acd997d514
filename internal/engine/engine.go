// Package engine is the contract between the publisher and the store behind it. An engine keeps
// records and dead letters durably; the publisher decides what goes into one write, and the
// session acknowledges a frame only when its engine has said that every item of it is stored.
//
// Every engine passes the suite in enginetest.
package engine

import (
	"context"
	"time"
)

// Engine is a durable store. Its methods may be called by many goroutines at once, except that
// Store is never called twice at the same time for the same lane.
//
// An engine that cannot be reached is not an error at construction: the process stays up, refuses
// to acknowledge, and the engine connects when it can.
type Engine interface {
	// Lanes is how many batches the engine takes at once, 1 or more. All records of one
	// device use one lane, so a lane's writes keep the device's order.
	Lanes() int

	// Store writes the batch and returns when every item's fate is known: with nil when each
	// item has its entry in b.Results, or with an error that says that nothing is confirmed.
	// The error is an *Error, which says whether a retry can help and whether items may be
	// stored all the same. Nothing of b may be kept after the return.
	//
	// Store waits for as long as the store may still answer; it returns early, with an
	// ambiguous error, when ctx ends or the connection is known to be dead.
	Store(ctx context.Context, lane int, b *Batch) error

	// Probe finds out whether the engine would store a record now, without storing one.
	Probe(ctx context.Context) (Status, error)

	// Inspect connects and reports what the configured engine promises.
	Inspect(ctx context.Context) (Durability, error)

	// Tail calls fn with the payload of every record published from now on (or, with
	// fromStart, from the oldest one kept), in stored order, until ctx ends or fn fails.
	// The payload is valid until fn returns.
	Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error

	// Close releases everything. No other method is called during or after it.
	Close() error
}

// Record is one published record, encoded and ready to be stored. Its byte slices belong to the
// caller and are valid until Store returns.
type Record struct {
	DeviceID  string // IMEI or other login, 1 to 64 ASCII letters and digits
	Codec     string // "8", "8E" or "16"
	Timestamp int64  // the device's, ms since 1970 UTC, 0 to 253402300799999 (end of year 9999)
	Hash      uint64 // xxHash64 of the AVL record's bytes as sent
	Time      []byte // Timestamp as ISO 8601 with milliseconds and Z
	ID        []byte // <imei>-<timestamp ms>-<Hash as 16 hex digits>: the same for a resent record
	Payload   []byte // the JSON document
}

// DeadLetter is a frame that cannot be published, or not in full.
type DeadLetter struct {
	DeviceID string
	Codec    string // as in Record, or the codec id in hex for one that is not known
	Reason   string // one of a closed set of lower-case words
	Received time.Time
	Frame    []byte // the whole frame as received; engines store it as hex
}

// Batch is what one Store writes. The caller sizes Results to len(Records)+len(DeadLetters) and
// zeroes it: the records' results first, then the dead letters'.
type Batch struct {
	Records     []Record
	DeadLetters []DeadLetter
	Results     []Result

	// Unsure says that an earlier attempt at this very batch failed ambiguously, so that some
	// of its items may be stored already. An engine that does not recognise records by
	// itself looks before it writes, and reports those that it finds as duplicates.
	Unsure bool
}

// Result is one item's fate.
type Result struct {
	// Duplicate says that the item was stored before and was not written again.
	Duplicate bool
	// Err is nil if the item is stored at the configured durability. Else it is an *Error.
	Err error
}

// Status is what Probe learns about an engine that works.
type Status struct {
	Length int64            // records kept
	Lag    map[string]int64 // records not yet delivered, by consumer group; nil without groups
}

// Class says in words what survives which failure.
type Class string

// The durability classes, from weakest to strongest.
const (
	MemoryOnly Class = "memory only: a crash or restart of the engine loses records"
	OneSecond  Class = "up to 1 s of records lost at power loss"
	Fsynced    Class = "every record fsynced before its ACK"
	Replicated Class = "every record replicated before its ACK"
)

// Durability is what the engine promises as it is configured now.
type Durability struct {
	Engine   string // name and version, for people
	Class    Class
	Warnings []string // what an operator should change, each with the remedy
}
