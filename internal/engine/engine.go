// Package engine is the contract between the publisher and the store behind it. An engine keeps
// records, dead letters and messages durably; the publisher decides what goes into one write, and the
// session acknowledges a frame only when its engine has said that every item of it is stored.
//
// Every engine passes the suite in enginetest.
package engine

import (
	"context"
	"time"
)

// Engine is what every store does. Its methods may be called by many goroutines at once, except that Store is never
// called twice at the same time for the same lane. What only some stores can do are interfaces of their own, which
// callers ask for by type: Recogniser, Inspector, Tailer,
// DeadLetterStore, RecordReader, RecordReplacer, Migrator, Consumable.
//
// An engine that cannot be reached is not an error at construction: the process stays up, refuses to acknowledge, and
// the engine connects when it can.
type Engine interface {
	// Lanes is how many batches the engine takes at once, 1 or more.
	Lanes() int

	// Lane is the lane of a device's items, the same in an engine's whole life, from 0 to Lanes()-1. An engine of several
	// shards knows which one is the device's, by a rule that is public and never changes. Where nobody depends on the
	// rule it has a secret of the process, so that nobody can choose devices that all belong to one lane.
	Lane(deviceID string) int

	// Store writes the batch and returns when every item's fate is known: with nil when each item has its entry in
	// b.Results, or with an error that says that nothing is confirmed. The error is an *Error, which says whether a retry
	// can help and whether items may be stored all the same. Nothing of b may be kept after the return.
	//
	// A device's items of one kind are stored in the order of the batch. An item's error implies that later items of the
	// same device and kind have failed too, where the store can tell, but for ErrTooLarge and ErrMovedOn. Redis takes each
	// item by itself: at its memory limit it may take one behind a refused one, which is reported as stored, so that it
	// is not stored twice.
	//
	// Store waits while the store may still answer, but not for ever: it returns with an ambiguous error when ctx ends,
	// and after a time in which any store that works has answered. It may leave the write running then. The lane's next
	// Store of the same batch, by its ID, finds out what became of it; one of another batch first makes sure that nothing
	// more of it will be stored.
	Store(ctx context.Context, lane int, b *Batch) error

	// Probe finds out whether the engine would store a record now, without storing one. An
	// engine that would not, but answers, gives its figures beside the error: see Status.Known.
	Probe(ctx context.Context) (Status, error)

	// Close releases everything. No other method is called during or after it.
	Close() error
}

// Recogniser is an engine that may know records again by itself.
type Recogniser interface {
	// RecognisesRecords says that Store itself reports every record as a duplicate that is still
	// stored, in whatever batch or life of the process it came, so that nobody has to remember it.
	RecognisesRecords() bool
}

// Inspector is an engine that can say what it promises.
type Inspector interface {
	// Inspect connects and reports what the configured engine promises. An error that is
	// ErrDurability says that the engine was reached and cannot do what it is configured to do;
	// what it does promise comes with it.
	Inspect(ctx context.Context) (Durability, error)
}

// Tailer is an engine that shows what it stores.
type Tailer interface {
	// Tail calls fn with the payload of every record published from now on (or, with
	// fromStart, from the oldest one kept), in each device's stored order, until ctx ends or fn fails.
	// The payload is valid until fn returns.
	Tail(ctx context.Context, fromStart bool, fn func(payload []byte) error) error

	// TailMessages is Tail for messages. What it passes to fn is valid until fn returns.
	TailMessages(ctx context.Context, fromStart bool, fn func(m Message) error) error
}

// RecordReader is an engine that shows which records it has.
type RecordReader interface {
	// EachRecord calls fn with the payload of every record that is there at its call, in each device's stored order. Its
	// error is fn's, ctx's or an *Error. ref names the record for good: no other one ever gets it. Few are in memory at
	// once, each valid until fn returns. fn may call the engine's other methods.
	EachRecord(ctx context.Context, fn func(ref string, payload []byte) error) error
}

// DeviceReader is an engine that finds a device's records without reading those of all others.
type DeviceReader interface {
	// LastRecords are the payloads of a device's newest records, n at the most, the newest first. An engine without an
	// index looks at a bounded number of its newest records only: whole says that there are no more than that, or that
	// all n are there.
	LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error)
}

// RecordReplacer is an engine whose records can be given another payload.
type RecordReplacer interface {
	// ReplaceRecords gives records another payload, all or none of them. One that is no longer what it was is left alone;
	// replaced is how many were not.
	ReplaceRecords(ctx context.Context, replacements []Replacement) (replaced int, err error)
}

// Replacement is another payload for the record of that ref.
type Replacement struct {
	Ref      string
	Was, Now []byte
}

// Migrator is an engine that can be without something that is only built in a while.
type Migrator interface {
	// Migrate builds what the store lacks for its speed, such as an index in a file of an earlier version. Nothing is
	// stored meanwhile. With more than atMost records it only warns of what is missing. What is missing costs time and
	// nothing else, so a failure can wait for the next attempt.
	Migrate(ctx context.Context, atMost int64) error
}

// DeadLetterStore is an engine that shows and removes its dead letters.
type DeadLetterStore interface {
	// EachDeadLetter calls fn with every dead letter that is there at its call, oldest first. Its
	// error is fn's, ctx's or an *Error. ref names the dead letter for good: no other one ever
	// gets it. Few are in memory at once, each valid until fn returns. fn may call the engine's
	// other methods, also to remove what it is shown.
	EachDeadLetter(ctx context.Context, fn func(ref string, d DeadLetter) error) error

	// RemoveDeadLetters removes dead letters, all or, when it fails, perhaps some. One that is
	// not there any more is no error; a text that can be no ref is.
	RemoveDeadLetters(ctx context.Context, refs []string) error
}

// Record is one published record, encoded and ready to be stored. Its byte slices belong to the
// caller and are valid until Store returns.
type Record struct {
	DeviceID  string // IMEI or other login, 1 to 64 ASCII letters and digits
	Codec     string // "7", "8", "8E" or "16"
	Timestamp int64  // the device's, ms since 1970 UTC, 0 to 253402300799999 (end of year 9999)
	Hash      uint64 // xxHash64 of the AVL record's bytes as sent
	Time      []byte // Timestamp as ISO 8601 with milliseconds and Z
	ID        []byte // <imei>-<timestamp ms>-<Hash as 16 hex digits>: the same for a resent record
	Payload   []byte // the JSON document, which has ID in it
	Doubt     Doubt  // whether another process may have it stored already
}

// Doubt says why a record may be stored already by another process: by one that was killed, or by another instance. An
// engine that does not recognise records by itself, but can look, reports those that it finds as duplicates. It
// refuses those of a device that has gone elsewhere, with ErrMovedOn: what was not acknowledged comes again there.
type Doubt uint8

// The reasons, of which a record may have several.
const (
	// Arrived: the device has come lately, or has no connection, and may have had the record stored where it was before.
	Arrived Doubt = 1 << iota
	// Repeated: the caller leaves out other records of the frame, because it remembers that this lane has stored them.
	Repeated
	// Waited: the record has waited, and its device may have gone elsewhere meanwhile. With Arrived as well, it may also
	// have come from there.
	Waited
)

// DeadLetter is a frame that cannot be published, or not in full.
type DeadLetter struct {
	DeviceID string
	Codec    string // as in Record, or the codec id in hex for one that is not known
	Reason   string // one of a closed set of lower-case words
	Received time.Time

	// Transport is TCP for a frame and UDP for a datagram; empty in dead letters that were stored
	// before there was this field.
	Transport string

	Frame []byte // the whole frame as received; engines store it as hex
}

// How a dead letter came.
const (
	TCP = "tcp" // in a stream, encrypted or not
	UDP = "udp"
)

// Message is what a device sends of its own accord beside its records: data of a serial port, a card, a
// camera. It has no id: two equal messages are two messages.
type Message struct {
	DeviceID string    // as in Record
	Codec    string    // "12", "13", "14" or "15"
	Type     byte      // as sent
	Sent     time.Time // by the device's clock, in whole seconds; zero in codecs 12 and 14, which have no time
	Received time.Time
	Payload  []byte // as sent, without time and IMEI; engines store it as hex
}

// What a batch holds at the most, unless it has the items of a single frame only. An engine whose store takes less at
// once writes it in parts.
const (
	MaxBatchItems = 4096
	MaxBatchBytes = 4 << 20
)

// Batch is what one Store writes, items of devices of its lane only. The caller sizes Results to Len and zeroes it: the
// records' results first, then the dead letters', then the messages'.
type Batch struct {
	Records     []Record
	DeadLetters []DeadLetter
	Messages    []Message
	Results     []Result

	// ID is another one for every batch. A batch comes again with the same ID, and the same items, only after an attempt
	// that failed ambiguously, so that some of its items may be stored already. An engine that does not recognise records
	// by itself looks before it writes, and reports those that it finds as duplicates; each engine does so with dead
	// letters and messages. As many equal messages as are found are duplicates. 0: the batch never comes again.
	ID uint64

	// Known says of which kinds the caller leaves items out, because it remembers that this lane
	// has stored them. The batch may have no other items then.
	Known [Kinds]bool

	// Epochs is what a Store without error says of the store itself. As long as a kind's epoch stays
	// the same, no item of the kind that this lane has stored is lost, but records and messages that the engine
	// itself removes in order to keep within its limits, the oldest first. Of the kinds in Known this is found out by this
	// very Store, after its items are written; of others it is what was found out last, 0 if nothing.
	// An engine that cannot tell says that the epoch has changed.
	Epochs [Kinds]uint64
}

// Kind is what an item of a batch is. The results come in this order.
type Kind int

// The kinds of items, and how many there are.
const (
	KindRecord Kind = iota
	KindDeadLetter
	KindMessage
	Kinds
)

// Len is how many items the batch has.
func (b *Batch) Len() int { return len(b.Records) + len(b.DeadLetters) + len(b.Messages) }

// ByKind is Results, apart for each kind of item.
func (b *Batch) ByKind() (records, deadLetters, messages []Result) {
	n, m := len(b.Records), len(b.Records)+len(b.DeadLetters)
	return b.Results[:n], b.Results[n:m], b.Results[m:]
}

// Result is one item's fate.
type Result struct {
	// Duplicate says that the item was stored before and was not written again.
	Duplicate bool
	// Err is nil if the item is stored at the configured durability. Else it is an *Error.
	Err error
}

// Status is what Probe learns about an engine.
type Status struct {
	// Known says that the engine has answered, so that the figures are of now. Without an error
	// of Probe it is always set.
	Known bool

	Length int64            // records kept
	Limit  int64            // records that are kept when all of them are read; 0 = no such limit
	Groups map[string]Group // the consumer groups, MaxGroups at most; nil without groups

	Memory      int64 // bytes of memory in use that count towards the limit; 0 = not known
	MemoryLimit int64 // bytes at which the engine stores nothing more; 0 = none known
	OutOfMemory bool  // the engine refuses to store because of that limit

	LostByEngine int64 // how often the store said that it has lost what it had confirmed to this process

	Shards []Shard // each by itself, where the engine has several; nil: it is one

	DeadLetterBytes int64 // what all dead letters take in the engine, roughly; 0 = none, or not known
	DeadLetterLimit int64 // above which the oldest are removed; 0 = no such limit

	MessageBytes    int64 // what all messages take in the engine, roughly; 0 = none, or not known
	MessageLimit    int64 // above which the oldest are removed; 0 = no such limit
	MessagesRemoved int64 // how many this process has removed because of that limit
}

// Shard is a part of the store that fails by itself. Probe has no error while any shard stores.
type Shard struct {
	Name   string
	Err    error // why it would not store a record now; nil if it would
	Length int64 // records kept in it
}

// MaxGroups bounds the consumer groups in a Status: the first ones by name.
const MaxGroups = 50

// Group is how far the readers of one consumer group have got.
type Group struct {
	Lag    int64         // records not yet delivered; -1 = not known
	Unread int64         // records not yet acknowledged, delivered or not; -1 = not known
	Oldest time.Duration // how long ago the oldest unread record was stored; 0 if all are read; -1 = not known

	// Expired are records that the engine has removed for their age or its limits, although this group has not read them.
	Expired int64
}

// UnreadBeyondLimit is how many records more than the limit are kept because a consumer group has
// not acknowledged them.
func (s *Status) UnreadBeyondLimit() int64 {
	beyond := int64(0)
	for _, g := range s.Groups {
		if s.Limit > 0 {
			beyond = max(beyond, min(g.Unread, s.Length)-s.Limit)
		}
	}
	return beyond
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

// Word is the class as a single word: memory, second, fsync or replicated.
func (c Class) Word() string {
	switch c {
	case OneSecond:
		return "second"
	case Fsynced:
		return "fsync"
	case Replicated:
		return "replicated"
	}
	return "memory"
}

// Durability is what the engine promises as it is configured now.
type Durability struct {
	Engine   string // name and version, for people
	Class    Class
	Facts    []Fact   // the settings and states that the class is concluded from
	Warnings []string // what an operator should change, each with the remedy
}

// Fact is a setting or state of the engine, under the engine's own name for it.
type Fact struct{ Name, Value string }
