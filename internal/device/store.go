package device

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"
)

// MaxKeep is how long a store keeps a device that nothing was saved of.
const MaxKeep = 30 * 24 * time.Hour

// MaxKept is how many devices a store keeps: those saved last.
const MaxKept = 1_000_000

// MaxEvidence bounds Kept.Evidence, in bytes.
const MaxEvidence = 4 << 10

// Kept is what is kept of a device beyond this process.
type Kept struct {
	IMEI     string
	Evidence []byte // what its elements say about its family, as package meaning writes it
	Model    string // as the device itself has said, such as FMB640; empty if it has not
	Firmware string // the same, such as 03.28.07_00
	Asked    int    // how often this service has asked for the model of its own accord
}

var keptSeed = maphash.MakeSeed()

// hash tells apart what is worth saving; 0 is nothing.
func (k *Kept) hash() uint64 {
	if len(k.Evidence) == 0 && k.Model == "" && k.Firmware == "" && k.Asked == 0 {
		return 0 // it has only logged in, as anybody can
	}
	var h maphash.Hash
	h.SetSeed(keptSeed)
	fmt.Fprintf(&h, "%q %q %q %d", k.Evidence, k.Model, k.Firmware, k.Asked)
	return h.Sum64() | 1
}

// Store keeps devices, for one process or for all that share it. It passes the suite in devicetest. A store that is
// away delays nobody: a method fails, and is called again later with the same.
type Store interface {
	// Load returns those of the devices that are kept, in any order.
	Load(ctx context.Context, imeis []string) ([]Kept, error)
	// Save keeps the devices as they are now, but a shared store also the model of one that is saved without. After an
	// error some of them may be kept.
	Save(ctx context.Context, devices []Kept) error
	// Shared reports whether other processes may save devices, too.
	Shared() bool
	// Close releases everything. No other method is called during or after it.
	Close() error
}
