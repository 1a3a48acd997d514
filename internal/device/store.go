package device

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"time"
)

// MaxKeep is how long a store keeps a device that nothing was saved of.
const MaxKeep = 30 * 24 * time.Hour

// MaxKept is how many devices a store keeps: those saved last.
const MaxKept = 1_000_000

// KeepUnproven is MaxKeep for devices of which a store has nothing that only a device can say: anybody can log in. When
// there is no room they go before all others.
const KeepUnproven = 24 * time.Hour

// MaxEvidence bounds Kept.Evidence, in bytes, MaxPresence Kept.Presence as JSON.
const (
	MaxEvidence = 4 << 10
	MaxPresence = 8 << 10
)

// Kept is what is kept of a device beyond this process.
type Kept struct {
	IMEI     string
	Evidence []byte    // what its elements say about its family, as package meaning writes it
	Model    string    // as the device itself has said, such as FMB640; empty if it has not
	Firmware string    // the same, such as 03.28.07_00
	Asked    int       // how often this service has asked for the model of its own accord
	Presence *Presence // nil if none is kept
}

// Proven reports whether there is something that only a device can say: it has sent records.
func (k *Kept) Proven() bool {
	return k.hash() != 0 || k.Presence != nil && !k.Presence.LastStored.IsZero()
}

// State is of devices, in a list.
type State string

// The states. Connected are those that were when their state was saved; see Presence.InstanceLost.
const (
	StateAll       State = "all"
	StateConnected State = "connected"
	StateGone      State = "gone"
)

// Has reports whether the device is in the state.
func (s State) Has(p *Presence) bool { return s == StateAll || p.Connected == (s == StateConnected) }

// State is the state of what is kept, empty if it has no presence.
func (k *Kept) State() State {
	switch {
	case k.Presence == nil:
		return ""
	case k.Presence.Connected:
		return StateConnected
	}
	return StateGone
}

// EncodePresence is p as the stores keep it, as JSON; empty for nil.
func EncodePresence(p *Presence) (string, error) {
	if p == nil {
		return "", nil
	}
	b, err := json.Marshal(p)
	return string(b), err
}

// DecodePresence reads EncodePresence. What is none, or too long, is nil: others may write where it is kept.
func DecodePresence(text string) *Presence {
	p := new(Presence)
	if text == "" || len(text) > MaxPresence || json.Unmarshal([]byte(text), p) != nil || p.FirstSeen.IsZero() {
		return nil
	}
	p.Datagrams = nil
	p.TakeOvers = p.TakeOvers[max(0, len(p.TakeOvers)-maxTakeOvers):]
	return p
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
	// Save keeps the devices as they are now. But a shared store also keeps the model of one that is saved without, and
	// the presence of one that has logged in at another instance and is saved as gone from this. After an error some of
	// them may be kept.
	Save(ctx context.Context, devices []Kept) error
	// List returns the first of the devices that have a presence of that state, by IMEI in the order of its bytes: limit
	// of them that come after the IMEI after. It is the end if there are less; one may have lost its presence meanwhile.
	List(ctx context.Context, state State, after string, limit int) ([]Kept, error)
	// Beat says that the process lives whose name is run.
	Beat(ctx context.Context, run string) error
	// Heard returns how long ago each of the processes beat last that are not forgotten, a bounded number.
	Heard(ctx context.Context) (map[string]time.Duration, error)
	// Forget forgets processes.
	Forget(ctx context.Context, runs []string) error
	// Shared reports whether other processes may save devices, too.
	Shared() bool
	// Close releases everything. No other method is called during or after it.
	Close() error
}
