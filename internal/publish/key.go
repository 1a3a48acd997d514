package publish

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// key identifies an item: hash is mostly of its bytes, and place, which is also where it belongs in a set,
// of hash, device and time together.
type key struct{ hash, place uint64 }

// secret makes keys. It is drawn anew by every process and never shown. A device chooses its records' bytes, and so
// their xxHash64; without a secret it could choose those that all belong at one place of a set, where each takes longer
// to find than the one before.
type secret struct {
	seed    maphash.Seed
	a, b, c uint64
}

func newSecret() secret {
	return secret{seed: maphash.MakeSeed(), a: rand.Uint64(), b: rand.Uint64(), c: rand.Uint64() | 1}
}

// device is what a device's items' keys are made from.
func (s *secret) device(id string) uint64 { return maphash.String(s.seed, id) }

// record is what a record is known by again. Another record of the device and millisecond whose bytes have the same
// xxHash64 has the same key, as it has the same id.
func (s *secret) record(device uint64, r *engine.Record) key {
	return key{r.Hash, s.place(device, r.Hash, uint64(r.Timestamp))}
}

// noTime stands in for the time of what has none. No record has it.
const noTime = 1 << 63

// deadLetter knows a frame again that a device sends over and over.
func (s *secret) deadLetter(device uint64, d *engine.DeadLetter) key {
	hash := maphash.Bytes(s.seed, d.Frame)
	return key{hash, s.place(device, hash, noTime)}
}

// message is the key of one message of a frame, by the frame's number.
func (s *secret) message(number uint64, i int) key {
	return key{number, s.place(0, number, noTime+1+uint64(i))}
}

// place mixes all three by two multiplications: after the first a device could still guess which of its keys differ in
// a few bits only.
func (s *secret) place(device, hash, time uint64) uint64 {
	return fold(fold(hash^device, time^s.a)^s.b, s.c)
}

// fold is the product's halves together, so that every bit of both factors counts.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
