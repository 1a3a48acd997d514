package teltonikasession

import (
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// frameContext is what a session needs while it has a frame in hand, and gives back before it waits for the next one.
// A datagram needs one until it is submitted.
type frameContext struct {
	source
	packet pipeline.Packet
	frame  teltonika.Frame   // with the session's buffer; a datagram has none
	newest *teltonika.Record // of the packet's, while it is at hand; nil if there is none
	size   int               // of the frame that has arrived, in bytes, also once it is shrunk
	claim  *claim            // the frame's part of the budget; nil if it is not large

	mirrored *mirror.Receipt // nil if no other platform has to acknowledge it

	acknowledged int  // records; -1 if the frame is not acknowledged
	detached     bool // its connection has ended while a part of it was on its way

	// Whether the packet may become a dead letter is asked once, however often that is tried.
	quotaAsked, quotaGranted bool
}

// Most frames fit into the first size. A larger one's buffer grows as its bytes arrive, so that a length field
// alone costs no memory. What is larger than keepFrame is not kept.
const (
	firstFrame = 2 << 10
	keepFrame  = 16 << 10
)

func (a *Adapter) newFrameContext() any {
	w := &frameContext{packet: pipeline.Packet{Raw: a.RecordRaw}}
	w.packet.MayDeadLetter = w.mayDeadLetter
	return w
}

// putBack is called also if a bug makes a step panic: what w holds belongs to all devices.
func (a *Adapter) putBack(w *frameContext) {
	w.refuse(unforeseen)
	if w.claim != nil {
		w.claim.end()
	}
	w.source, w.newest, w.claim, w.mirrored = source{}, nil, nil, nil
	w.packet.Hold(w.Origin, nil, nil, 0)
	if cap(w.frame) > keepFrame {
		w.frame = nil
		w.packet.Reset()
	}
	a.frames.Put(w)
}

// shrink gives the memory of a large frame that is stored back, and its part of the budget. Its beginning stays.
func (w *frameContext) shrink() {
	if w.claim == nil {
		return
	}
	w.frame = slices.Clone(w.frame[:firstFrame])
	w.packet.Reset()
	w.hold(w.frame, w.frame[teltonika.HeaderSize:], teltonika.HeaderSize)
	w.claim.end()
	w.claim = nil
}

// hold has the packet at hand, with its data field at offset.
func (w *frameContext) hold(packet, body []byte, offset int) {
	w.Codec = teltonika.Codec(body[0])
	w.first, w.quotaAsked = packet, false
	w.packet.Hold(w.Origin, packet, body, offset)
}

// mayDeadLetter takes a dead letter from the quota.
func (w *frameContext) mayDeadLetter(error) error {
	if !w.quotaAsked {
		w.quotaAsked, w.quotaGranted = true, w.deadLetters.spend(&w.source, w.packet.Bytes(), time.Now())
	}
	if !w.quotaGranted {
		return errDeadLetterLimit
	}
	return nil
}

// begin starts the frame with its header.
func (w *frameContext) begin(header []byte) {
	if cap(w.frame) < firstFrame {
		w.frame = make(teltonika.Frame, 0, firstFrame)
	}
	w.frame = append(w.frame[:0], header...)
}

// extend makes room for so many bytes of the frame and returns the part to be read next.
func (w *frameContext) extend(room int) []byte {
	have := len(w.frame)
	w.frame = slices.Grow(w.frame, room-have)[:room]
	return w.frame[have:]
}
