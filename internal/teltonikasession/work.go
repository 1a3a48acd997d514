package teltonikasession

import (
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// work is what a session needs while it has a frame in hand, and gives back before it waits for the next one.
type work struct {
	frame    teltonika.Frame
	received time.Time // when the frame's last byte was read
	data     teltonika.AVLData
	encoder  record.Encoder
	dead     int  // records of the frame that cannot be published
	large    bool // the frame's memory is of the budget

	acknowledged int // records; -1 if the frame is not acknowledged

	unaccounted int // records received of which nothing else is counted yet; stays if a bug makes a step panic
}

// Most frames fit into the first size. A larger one's buffer grows as its bytes arrive, so that a length field
// alone costs no memory. What is larger than keepFrame is not kept.
const (
	firstFrame = 2 << 10
	keepFrame  = 16 << 10
)

// begin starts the frame with its header.
func (w *work) begin(header []byte) {
	if cap(w.frame) < firstFrame {
		w.frame = make(teltonika.Frame, 0, firstFrame)
	}
	w.frame = append(w.frame[:0], header...)
}

// extend makes room for more of a frame of size bytes and returns the part to be read next.
func (w *work) extend(size int) []byte {
	have := len(w.frame)
	if have == cap(w.frame) {
		w.frame = slices.Grow(w.frame, have)
	}
	w.frame = w.frame[:min(size, cap(w.frame))]
	return w.frame[have:]
}

// trim lets go of what only unusual frames need.
func (w *work) trim() {
	if cap(w.frame) > keepFrame {
		*w = work{encoder: record.Encoder{Raw: w.encoder.Raw}}
	}
}
