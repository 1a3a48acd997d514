package teltonikasession

import (
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// work is what a session needs while it has a frame in hand, and gives back before it waits for the next one.
type work struct {
	origin
	frame   teltonika.Frame
	packet  []byte // the frame or datagram as it came, for the dead letters
	body    []byte // its data field: codec id to number of data 2
	offset  int    // of the data field in the packet
	data    teltonika.AVLData
	encoder record.Encoder
	dead    int    // records of the frame that cannot be published
	claim   *claim // the frame's part of the budget; nil if it is not large

	acknowledged int // records; -1 if the frame is not acknowledged

	unaccounted int // records received of which nothing else is counted yet; stays if a bug makes a step panic
}

// Most frames fit into the first size. A larger one's buffer grows as its bytes arrive, so that a length field
// alone costs no memory. What is larger than keepFrame is not kept.
const (
	firstFrame = 2 << 10
	keepFrame  = 16 << 10
)

// hold says which packet is at hand, and what its data field is.
func (w *work) hold(packet, body []byte, offset int) {
	w.packet, w.body, w.offset, w.codec = packet, body, offset, teltonika.Codec(body[0])
}

// claimed is number of data 1: how many records the packet says that it has.
func (w *work) claimed() int { return int(w.body[1]) }

// begin starts the frame with its header.
func (w *work) begin(header []byte) {
	if cap(w.frame) < firstFrame {
		w.frame = make(teltonika.Frame, 0, firstFrame)
	}
	w.frame = append(w.frame[:0], header...)
}

// extend makes room for so many bytes of the frame and returns the part to be read next.
func (w *work) extend(room int) []byte {
	have := len(w.frame)
	w.frame = slices.Grow(w.frame, room-have)[:room]
	return w.frame[have:]
}

// trim lets go of what only unusual frames need.
func (w *work) trim() {
	w.origin, w.packet, w.body = origin{}, nil, nil
	if cap(w.frame) > keepFrame {
		*w = work{encoder: record.Encoder{Raw: w.encoder.Raw}}
	}
}
