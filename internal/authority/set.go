package authority

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
)

const (
	// imeiDigits is the length of an IMEI (3GPP TS 23.003).
	imeiDigits = 15
	// maxIdentifier is the longest identifier that a device can log in with, in bytes.
	maxIdentifier = 64
	// maxDevices bounds a list, and so the memory that a wrong source can take.
	maxDevices = 20_000_000
)

var (
	errNotIdentifier  = errors.New("not 1 to 64 ASCII letters and digits")
	errTooManyDevices = errors.New("more than 20000000 devices")
)

// set is an immutable set of identifiers. Nearly all of them are IMEIs: those stand as numbers in a flat table of
// open addressing, at 12 bytes each. The others are in a map.
type set struct {
	slots   []uint64 // an IMEI as a number, plus 1; 0 is a free slot
	others  map[string]struct{}
	size    int
	sum     uint64  // of all hashes, in whatever order: equal sets have equal sums
	skipped skipped // what the source held beside identifiers
}

// has reports whether the identifier is in the set. It allocates nothing.
func (s *set) has(id string) bool {
	if n, ok := parseIMEI(id); ok {
		_, found := s.find(n)
		return found
	}
	_, found := s.others[id]
	return found
}

// find returns the slot of an IMEI, or the free one where it belongs. One slot in three is free, so the way is short.
func (s *set) find(n uint64) (slot int, found bool) {
	high, _ := bits.Mul64(mix(n), uint64(len(s.slots)))
	for i := int(high); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		switch s.slots[i] {
		case 0:
			return i, false
		case n + 1:
			return i, true
		}
	}
}

// same reports whether another reading of the source has brought nothing new.
func (s *set) same(other *set) bool {
	return s.size == other.size && s.sum == other.sum && s.skipped.count == other.skipped.count
}

// emptiness is the error of an empty set.
func (s *set) emptiness() error {
	if s.skipped.count == 0 {
		return ErrEmpty
	}
	return fmt.Errorf("%w: it has %d entries that are not identifiers, such as %s", ErrEmpty, s.skipped.count, s.skipped.first[0])
}

// skipped are the entries of a source that are no identifiers.
type skipped struct {
	count int
	first []string // where the first of them are
}

const skippedShown = 5

func (s *skipped) add(where string) {
	s.count++
	if len(s.first) < skippedShown {
		s.first = append(s.first, where)
	}
}

// builder gathers a set's identifiers, each as often as it likes.
type builder struct {
	numbers []uint64
	others  map[string]struct{}
	skipped skipped
}

// add takes an identifier. It fails on what no device can log in with, and when there are too many.
func add[T string | []byte](b *builder, id T) error {
	if n, ok := parseIMEI(id); ok {
		b.numbers = append(b.numbers, n)
	} else if !isIdentifier(id) {
		return errNotIdentifier
	} else {
		if b.others == nil {
			b.others = make(map[string]struct{})
		}
		b.others[string(id)] = struct{}{}
	}
	if len(b.numbers)+len(b.others) > maxDevices {
		return errTooManyDevices
	}
	return nil
}

var hashSeed = maphash.MakeSeed()

func (b *builder) build() *set {
	s := &set{slots: make([]uint64, len(b.numbers)+len(b.numbers)/2+1), others: b.others, skipped: b.skipped}
	for _, n := range b.numbers {
		if slot, found := s.find(n); !found {
			s.slots[slot] = n + 1
			s.size++
			s.sum += mix(n)
		}
	}
	for id := range b.others {
		s.size++
		s.sum += maphash.String(hashSeed, id)
	}
	return s
}

// parseIMEI returns an identifier of exactly 15 digits as a number.
func parseIMEI[T string | []byte](id T) (n uint64, ok bool) {
	if len(id) != imeiDigits {
		return 0, false
	}
	for i := range imeiDigits {
		digit := id[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = 10*n + uint64(digit)
	}
	return n, true
}

func isIdentifier[T string | []byte](id T) bool {
	if len(id) == 0 || len(id) > maxIdentifier {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// mix spreads the IMEIs of a fleet, which are often consecutive, over all 64 bits. It is the last step of MurmurHash3.
func mix(n uint64) uint64 {
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}
