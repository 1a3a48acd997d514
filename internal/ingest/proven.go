package ingest

import (
	"math"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// proof is the number of a device's first acknowledged frame: who has proved itself earlier has the lower one. Whoever
// makes up devices can prove any number of them, but none earlier than those that were there before.
type proof uint32

const (
	noProof proof = iota
	listed        // needs none
)

// earlier reports whether p comes before o; everything comes before none.
func (p proof) earlier(o proof) bool { return p != noProof && (o == noProof || p < o) }

// next is the proof that follows. After four thousand million all are the last one.
func (p proof) next() proof {
	if p == math.MaxUint32 {
		return p
	}
	return p + 1
}

// How long and of how many devices their proof is kept in mind. Of devices that share a cell the one with the earliest
// proof has it, and the others have to prove themselves again: of 100,000 devices every sixth.
const (
	provenMemory = 24 * time.Hour
	provenCells  = 1 << 18
)

// provenDevices remembers devices after they have left, in a fixed memory and without a lock. Time is the process's
// own, so no clock that is set makes it forget.
type provenDevices struct {
	// A cell is, from the top, 32 bits of the proof, 16 bits that tell the device from others of the cell, and 16 bits of
	// the minute in which it was seen last, which come again after 45 days: a mistake that costs nobody anything.
	cells *limit.Table[atomic.Uint64]
	began time.Time
}

func newProvenDevices() *provenDevices {
	return &provenDevices{cells: limit.NewTable[atomic.Uint64](provenCells), began: time.Now()}
}

// minute is the time in minutes; the first is 1, because an empty cell holds 0.
func (p *provenDevices) minute() uint16 { return uint16(time.Since(p.began)/time.Minute) + 1 }

// remember notes that the device with the proof was seen now.
func (p *provenDevices) remember(device string, its proof) {
	cell, tag := p.cells.Find(device)
	if kept, whose := p.read(cell); whose == tag || !kept.earlier(its) {
		cell.Store(uint64(its)<<32 | uint64(tag)<<16 | uint64(p.minute()))
	}
}

// of is the device's proof, if it has one and was seen within provenMemory.
func (p *provenDevices) of(device string) proof {
	cell, tag := p.cells.Find(device)
	if kept, whose := p.read(cell); whose == tag {
		return kept
	}
	return noProof
}

// read is what the cell says and of whom.
func (p *provenDevices) read(cell *atomic.Uint64) (kept proof, whose uint16) {
	c := cell.Load()
	if p.minute()-uint16(c) >= uint16(provenMemory/time.Minute) {
		return noProof, 0
	}
	return proof(c >> 32), uint16(c >> 16)
}
