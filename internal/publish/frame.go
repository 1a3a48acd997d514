package publish

import (
	"errors"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Why a frame was refused. A failure of the engine is an *engine.Error instead.
var (
	// ErrOverflow: the queue has no room for the whole frame.
	ErrOverflow = errors.New("publish queue full")
	// ErrTimeout: the frame was not confirmed stored in time. It may be stored later all the same.
	ErrTimeout = errors.New("not stored within the publish timeout")
	// ErrClosed: the publisher is draining or closed.
	ErrClosed = errors.New("publisher is closed")
)

// Frame is what one frame of a device publishes: records, dead letters, messages. It is stored whole or
// refused. A Frame comes from Publisher.Admit and belongs to the caller until Publish.
type Frame struct {
	DeviceID    string
	Records     []engine.Record
	DeadLetters []engine.DeadLetter
	Messages    []engine.Message
	Buffer      []byte // for the bytes that the items refer to; reused
	Recall      bool   // the records may be stored already by another process, see engine.Doubt

	// Came is since when the device has been here: what it sends comes later. Zero: that is not known.
	Came time.Time

	device    uint64 // hash of DeviceID, of this process only
	number    uint64 // among its lane's frames with messages, from 1; 0 = not numbered
	doubted   bool   // what is remembered of its items is not to be relied on
	admitted  int    // items of the queue's capacity that the frame holds
	bytes     int64  // of the publisher's memory that it holds
	quota     *Quota // of which it holds as much; nil = none
	later     *Quota // likewise, since it is detached
	lane      *lane  // of whose quota it holds as much too
	next      *Frame // the frame pushed before it, see inbox
	state     atomic.Uint32
	submitted time.Time
	done      chan struct{} // one message when a frame that was not abandoned is settled
	timer     *time.Timer
	outcome   Outcome
	err       error
	settle    func(Outcome, error) // what its lane calls if it is detached
}

// Outcome says what became of a stored frame's items.
type Outcome struct {
	Published    int // records written
	Duplicates   int // records that had been stored before
	DeadLettered int // dead letters stored, now or before
	Messages     int // messages stored
}

// count adds one item that is stored, and was before if it is a duplicate.
func (o *Outcome) count(k engine.Kind, duplicate bool) {
	switch {
	case k == engine.KindDeadLetter:
		o.DeadLettered++
	case k == engine.KindMessage:
		o.Messages++
	case duplicate:
		o.Duplicates++
	default:
		o.Published++
	}
}

// The states of a frame. The session and the lane race for the step out of pending.
const (
	pending   = iota
	settled   // the lane has decided; the session takes the result and releases the frame
	abandoned // the session no longer waits; the lane releases the frame
	detached  // likewise, but the lane stores the frame first
)

func newFrame() *Frame {
	f := &Frame{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	f.timer.Stop()
	return f
}

// The most that a pooled frame may keep, so that one huge frame does not stay in memory for ever.
const (
	maxKeptBuffer  = 256 << 10
	maxKeptRecords = 256
)

// forsaken reports whether no session waits for the frame any more.
func (f *Frame) forsaken() bool {
	state := f.state.Load()
	return state == abandoned || state == detached
}

func (f *Frame) items() int { return len(f.Records) + len(f.DeadLetters) + len(f.Messages) }

func (f *Frame) reset() {
	clear(f.Records)
	clear(f.DeadLetters)
	clear(f.Messages)
	f.Records, f.DeadLetters, f.Messages, f.Buffer = f.Records[:0], f.DeadLetters[:0], f.Messages[:0], f.Buffer[:0]
	if cap(f.Buffer) > maxKeptBuffer {
		f.Buffer = nil
	}
	if cap(f.Records) > maxKeptRecords {
		f.Records = nil
	}
	f.number, f.doubted, f.Recall, f.Came = 0, false, false, time.Time{}
	f.DeviceID, f.quota, f.later, f.lane, f.next, f.settle = "", nil, nil, nil, nil, nil
	f.err, f.outcome, f.bytes = nil, Outcome{}, 0
	f.state.Store(pending)
}
