package explain

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

//go:embed elements.tsv
var elementsTSV string

// ElementInfo says what an IO element means. The protocol does not carry the device's model, so it is the
// meaning with most models, and Differs says that there are others.
type ElementInfo struct {
	ID         uint16
	Size       int // of the value in bytes; 0 for values with a length of their own
	Name       string
	Kind       ElementKind
	Differs    bool   // other models mean something else by the same id and size
	Multiplier string // what to multiply the number by to get Unit, a decimal; "" is 1
	Unit       string // "" if there is none or its scale is not known
}

// ElementKind is how a value is to be read.
type ElementKind byte

// The kinds of elements.
const (
	Unsigned ElementKind = 'u'
	Signed   ElementKind = 's'
	Pattern  ElementKind = 'h' // bits or bytes that are no number
	ASCII    ElementKind = 'a'
)

// elementTable holds the known meanings of each id, the most common first.
var elementTable = sync.OnceValue(func() map[uint16][]ElementInfo {
	table := make(map[uint16][]ElementInfo, 2000)
	for line := range strings.Lines(elementsTSV) {
		if info, ok := parseElement(strings.TrimSuffix(line, "\n")); ok {
			table[info.ID] = append(table[info.ID], info)
		}
	}
	return table
})

// parseElement reads one line of elements.tsv. Comments are not ok.
func parseElement(line string) (ElementInfo, bool) {
	columns := strings.Split(line, "\t")
	if len(columns) != 6 || columns[2] == "" {
		return ElementInfo{}, false
	}
	id, err := strconv.ParseUint(columns[0], 10, 16)
	if err != nil {
		return ElementInfo{}, false
	}
	size, _ := strconv.Atoi(columns[1]) // "x" is 0
	return ElementInfo{
		ID:         uint16(id),
		Size:       size,
		Kind:       ElementKind(columns[2][0]),
		Differs:    strings.HasSuffix(columns[2], "?"),
		Multiplier: columns[3],
		Unit:       columns[4],
		Name:       columns[5],
	}, true
}

// LookupElement returns the meaning of an IO element that was sent in group g. An id that is known only with
// other sizes keeps its name, and has neither multiplier nor unit.
func LookupElement(id uint16, g teltonika.Group) (ElementInfo, bool) {
	size := numberSize(g)
	for _, info := range elementTable()[id] {
		if info.Size == size {
			return info, true
		}
	}
	info, ok := LookupElementID(id)
	if !ok {
		return ElementInfo{}, false
	}
	kind := Unsigned
	if size == 0 {
		kind = Pattern
	}
	return ElementInfo{ID: id, Size: size, Name: info.Name, Kind: kind, Differs: info.Differs}, true
}

// LookupElementID returns the most common meaning of an id whatever the size of its value.
func LookupElementID(id uint16) (ElementInfo, bool) {
	known := elementTable()[id]
	if len(known) == 0 {
		return ElementInfo{}, false
	}
	info := known[0]
	for _, other := range known[1:] {
		info.Differs = info.Differs || !strings.EqualFold(other.Name, info.Name)
	}
	return info, true
}

// numberSize is the size in bytes of a group's numbers, 0 for a group of byte strings.
func numberSize(g teltonika.Group) int {
	if g > teltonika.Group8 {
		return 0
	}
	return 1 << g
}
