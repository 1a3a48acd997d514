package authority

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/identifier"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxDevices bounds a list, and so the memory that a wrong source can take.
const maxDevices = 20_000_000

var (
	errNotIdentifier  = errors.New("not 1 to 64 ASCII letters and digits")
	errTooManyDevices = errors.New("more than 20000000 devices")
)

// set is an immutable set of identifiers. Nearly all of them are IMEIs: those stand as sorted numbers, 8 bytes each.
// The others are in a map.
type set struct {
	numbers []uint64 // IMEIs, ascending, each once
	others  map[string]struct{}
	skipped skipped // what the source held beside identifiers
}

// has reports whether the identifier is in the set. It allocates nothing.
func (s *set) has(id string) bool {
	if n, ok := identifier.IMEI(id); ok {
		_, found := slices.BinarySearch(s.numbers, n)
		return found
	}
	_, found := s.others[id]
	return found
}

// size is the number of identifiers.
func (s *set) size() int { return len(s.numbers) + len(s.others) }

// same reports whether another reading of the source has brought nothing new.
func (s *set) same(other *set) bool {
	return slices.Equal(s.numbers, other.numbers) && maps.Equal(s.others, other.others) &&
		s.skipped.count == other.skipped.count
}

// emptiness is the error of an empty set.
func (s *set) emptiness() error {
	if s.skipped.count == 0 {
		return ErrEmpty
	}
	return fmt.Errorf("%w: it has %d entries that are not identifiers, such as %s", ErrEmpty, s.skipped.count,
		s.skipped.first[0])
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
	if n, ok := identifier.IMEI(id); ok {
		b.numbers = append(b.numbers, n)
	} else if !teltonika.ValidIdentifier(id) {
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

// build returns the set. The builder is not used any more.
func (b *builder) build() *set {
	slices.Sort(b.numbers)
	return &set{numbers: slices.Clone(slices.Compact(b.numbers)), others: b.others, skipped: b.skipped}
}
