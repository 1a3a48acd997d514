package device

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/identifier"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	// maxModelEntries bounds the map of models, and so the memory that a wrong source can take.
	maxModelEntries = 20_000_000
	// maxOtherEntries bounds those that are no IMEIs, prefixes included, which take more.
	maxOtherEntries = 1_000_000
)

var (
	errTooManyEntries = errors.New("more than 20000000 entries")
	errTooManyOthers  = errors.New("more than 1000000 entries that are prefixes or no IMEIs")
)

// Models is an immutable map from devices to what their owner says they are: a model such as FMB640, or a family such
// as fmb. Nearly all entries are of IMEIs: those stand as sorted numbers, 10 bytes each.
type Models struct {
	imeis    []uint64 // ascending, each once
	ofIMEI   []uint16 // into words
	others   map[string]uint16
	prefixes map[string]uint16
	longest  int // of the prefixes
	words    []string
	skipped  skipped // what the source held beside entries
}

// Of is the model or family of a device: the one of exactly this IMEI, or of the longest prefix. It is empty if there
// is none. It allocates nothing.
func (m *Models) Of(imei string) string {
	if n, ok := identifier.IMEI(imei); ok {
		if i, found := slices.BinarySearch(m.imeis, n); found {
			return m.words[m.ofIMEI[i]]
		}
	} else if w, found := m.others[imei]; found {
		return m.words[w]
	}
	if len(m.prefixes) == 0 {
		return ""
	}
	for n := min(m.longest, len(imei)); n >= 0; n-- {
		if w, found := m.prefixes[imei[:n]]; found {
			return m.words[w]
		}
	}
	return ""
}

// Len is the number of entries.
func (m *Models) Len() int { return len(m.imeis) + len(m.others) + len(m.prefixes) }

// Skipped says which entries of the source are none, in words; empty if all are.
func (m *Models) Skipped() string {
	if m.skipped.count == 0 {
		return ""
	}
	return fmt.Sprintf("%d entries are skipped, such as %s", m.skipped.count, m.skipped.first[0])
}

// same reports whether another reading of the source has brought nothing new.
func (m *Models) same(o *Models) bool {
	if !slices.Equal(m.imeis, o.imeis) || len(m.others) != len(o.others) || len(m.prefixes) != len(o.prefixes) ||
		m.skipped.count != o.skipped.count {
		return false
	}
	for i := range m.ofIMEI {
		if m.words[m.ofIMEI[i]] != o.words[o.ofIMEI[i]] {
			return false
		}
	}
	return m.sameWords(o, m.others, o.others) && m.sameWords(o, m.prefixes, o.prefixes)
}

func (m *Models) sameWords(o *Models, mine, others map[string]uint16) bool {
	for key, w := range mine {
		if v, found := others[key]; !found || m.words[w] != o.words[v] {
			return false
		}
	}
	return true
}

// skipped are the entries of a source that are none.
type skipped struct {
	count int
	first []string // where the first of them are, and what is wrong with them
}

const skippedShown = 5

func (s *skipped) add(what string) {
	s.count++
	if len(s.first) < skippedShown {
		s.first = append(s.first, what)
	}
}

// modelsBuilder gathers entries.
type modelsBuilder struct {
	entries []modelEntry
	models  Models
	words   map[string]uint16
}

// modelEntry is an IMEI's.
type modelEntry struct {
	imei uint64
	line uint32
	word uint16
}

func newModelsBuilder(entries int) *modelsBuilder {
	return &modelsBuilder{
		entries: make([]modelEntry, 0, entries), words: make(map[string]uint16),
		models: Models{others: make(map[string]uint16), prefixes: make(map[string]uint16)},
	}
}

// add takes an entry: an IMEI, or a prefix with * at its end, and a model or family. line says where it stands.
func (b *modelsBuilder) add(device, model []byte, line int) error {
	w, err := b.word(model)
	if err != nil {
		return err
	}
	if n, isIMEI := identifier.IMEI(device); isIMEI {
		if len(b.entries) == maxModelEntries {
			return errTooManyEntries
		}
		b.entries = append(b.entries, modelEntry{n, uint32(min(line, math.MaxUint32)), w})
		return nil
	}
	switch prefix, isPrefix := strings.CutSuffix(string(device), "*"); {
	case isPrefix && (prefix == "" || teltonika.ValidIdentifier(prefix)):
		b.models.longest = max(b.models.longest, len(prefix))
		return b.addOther(b.models.prefixes, prefix, w)
	case teltonika.ValidIdentifier(device):
		return b.addOther(b.models.others, string(device), w)
	}
	return fmt.Errorf("%q is neither an IMEI nor a prefix that ends with *", shown(device))
}

func (b *modelsBuilder) addOther(to map[string]uint16, key string, w uint16) error {
	if known, found := to[key]; found && known != w {
		return fmt.Errorf("%q has two models, %s and %s", key, b.models.words[known], b.models.words[w])
	}
	to[key] = w
	if len(b.models.others)+len(b.models.prefixes) > maxOtherEntries {
		return errTooManyOthers
	}
	return nil
}

// word is the number of a model or family.
func (b *modelsBuilder) word(model []byte) (uint16, error) {
	if w, known := b.words[string(model)]; known {
		return w, nil
	}
	name := string(model)
	if _, ok := meaning.ParseIdentity(name); !ok {
		return 0, fmt.Errorf("%q is neither a model that is known nor a family", shown(name))
	}
	if len(b.models.words) > math.MaxUint16 {
		return 0, errors.New("more than 65536 different models")
	}
	w := uint16(len(b.models.words))
	b.words[name] = w
	b.models.words = append(b.models.words, name)
	return w, nil
}

// build returns the map. The builder is not used any more.
func (b *modelsBuilder) build() (*Models, error) {
	slices.SortFunc(b.entries, func(x, y modelEntry) int {
		return cmp.Or(cmp.Compare(x.imei, y.imei), cmp.Compare(x.line, y.line))
	})
	m := b.models // not a part of the builder, which would stay with it
	m.imeis, m.ofIMEI = make([]uint64, 0, len(b.entries)), make([]uint16, 0, len(b.entries))
	for i, e := range b.entries {
		if i > 0 && e.imei == b.entries[i-1].imei {
			if before := b.entries[i-1]; before.word != e.word {
				return nil, fmt.Errorf("line %d: %015d has two models, %s in line %d and %s here",
					e.line, e.imei, m.words[before.word], before.line, m.words[e.word])
			}
			continue
		}
		m.imeis, m.ofIMEI = append(m.imeis, e.imei), append(m.ofIMEI, e.word)
	}
	return &m, nil
}

// shown is as much of a source's text as an error quotes.
func shown[T string | []byte](text T) string {
	return string(text[:min(len(text), teltonika.MaxLoginLength)])
}
