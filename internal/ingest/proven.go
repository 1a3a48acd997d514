package ingest

import (
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// How long and of how many devices it is kept in mind that they have proved to be one. Those that share a cell forget
// each other, and have to prove it again: of 100,000 devices every sixth.
const (
	provenMemory = 24 * time.Hour
	provenCells  = 1 << 18
)

// provenDevices remembers devices after they have left, in a fixed memory and without a lock. Time is the process's own, so
// no clock that is set makes it forget.
type provenDevices struct {
	// A cell is 16 bits that tell the device from others of the cell, and 16 bits of the minute in which it was seen
	// last, which come again after 45 days: a mistake that costs nobody anything.
	cells *limit.Table[atomic.Uint32]
	began time.Time
}

func newProvenDevices() *provenDevices {
	return &provenDevices{cells: limit.NewTable[atomic.Uint32](provenCells), began: time.Now()}
}

// minute is the time in minutes; the first is 1, because an empty cell holds 0.
func (p *provenDevices) minute() uint16 { return uint16(time.Since(p.began)/time.Minute) + 1 }

func (p *provenDevices) add(device string) {
	cell, tag := p.cells.Find(device)
	cell.Store(uint32(tag)<<16 | uint32(p.minute()))
}

func (p *provenDevices) has(device string) bool {
	cell, tag := p.cells.Find(device)
	c := cell.Load()
	return c != 0 && uint16(c>>16) == tag && p.minute()-uint16(c) < uint16(provenMemory/time.Minute)
}
