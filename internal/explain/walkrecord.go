package explain

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// headField is a field of known size.
type headField struct {
	name     string
	size     int
	describe func([]byte) string
}

// recordHead are the fields that every AVL record begins with, except those of Codec 7.
var recordHead = []headField{
	{"timestamp", 8, milliseconds},
	{"priority", 1, priority},
	{"longitude", 4, degrees},
	{"latitude", 4, degrees},
	{"altitude", 2, metres},
	{"angle", 2, func(b []byte) string { return number(b) + "°" }},
	{"satellites", 1, number},
	{"speed", 2, kmh},
}

// recordLayout is what differs between the AVL codecs.
type recordLayout struct {
	idSize     int // of event and element ids, in bytes
	countSize  int // of the total and the groups' counts, in bytes
	generation bool
	unnamed    bool // the meaning of the ids is not known
	groups     []teltonika.Group
}

func layoutOf(codec teltonika.Codec, n16 bool) recordLayout {
	groups := []teltonika.Group{teltonika.Group1, teltonika.Group2, teltonika.Group4, teltonika.Group8}
	switch {
	case codec == teltonika.Codec8E:
		return recordLayout{idSize: 2, countSize: 2, groups: append(groups, teltonika.GroupX)}
	case codec == teltonika.Codec16:
		return recordLayout{idSize: 2, countSize: 1, generation: true, groups: groups}
	case n16:
		return recordLayout{idSize: 1, countSize: 1, groups: append(groups, teltonika.Group16)}
	}
	return recordLayout{idSize: 1, countSize: 1, groups: groups}
}

// records visits the records of an AVL codec.
func (w *walker) records(codec teltonika.Codec, count int) {
	n16 := w.packet.AVL != nil && w.packet.AVL.N16
	if n16 {
		w.remark("old variant of Codec 8 with a group of 16-byte values", "")
	}
	layout := layoutOf(codec, n16)
	for i := 0; i < count && !w.stopped; i++ {
		w.depth = 0
		w.heading("record %d", i+1)
		w.depth = 1
		if codec == teltonika.Codec7 {
			w.record7(w.decoded(i))
		} else {
			w.record(layout, w.decoded(i))
		}
	}
	w.depth = 0
}

// decoded is the library's record i, nil if the packet does not decode.
func (w *walker) decoded(i int) *teltonika.Record {
	if w.packet.AVL == nil || i >= len(w.packet.AVL.Records) {
		return nil
	}
	return &w.packet.AVL.Records[i]
}

func (w *walker) record(layout recordLayout, decoded *teltonika.Record) {
	start := w.pos
	for _, f := range recordHead {
		w.take(f.name, f.size, f.describe)
	}
	if !w.stopped {
		w.remark("fix", fixMeaning(w.packet.Raw[start:w.pos]))
	}
	w.take("event id", layout.idSize, func(b []byte) string { return eventMeaning(uint16(uintOf(b)), decoded) })
	if layout.generation {
		w.take("generation type", 1, generationType)
	}
	total := w.take("total elements", layout.countSize, number)
	found := 0
	for _, g := range layout.groups {
		found += w.group(layout, g)
	}
	if !w.stopped && uintOf(total) != uint64(found) {
		w.remark("the groups hold "+plural(found, "element")+": they decide", "")
	}
}

// group visits the elements of one group and returns their number.
func (w *walker) group(layout recordLayout, g teltonika.Group) int {
	count := w.take("elements "+groupMeaning(g), layout.countSize, number)
	n := int(uintOf(count))
	w.depth = 2
	for i := 0; i < n && !w.stopped; i++ {
		if g == teltonika.GroupX {
			w.variableElement()
		} else {
			w.element(layout, g)
		}
	}
	w.depth = 1
	return n
}

func groupMeaning(g teltonika.Group) string {
	switch g {
	case teltonika.Group1:
		return "of 1 byte"
	case teltonika.Group16:
		return "of 16 bytes"
	case teltonika.GroupX:
		return "of variable length"
	}
	return fmt.Sprintf("of %d bytes", numberSize(g))
}

// element visits an id and a value of the group's size. If only the id fits, it is visited alone.
func (w *walker) element(layout recordLayout, g teltonika.Group) {
	idSize, valueSize := layout.idSize, numberSize(g)
	if g == teltonika.Group16 {
		valueSize = 16
	}
	if !w.fits("element id", idSize) {
		return
	}
	id := uint16(uintOf(w.packet.Raw[w.pos : w.pos+idSize]))
	name, info := elementName(id, g)
	if layout.unnamed {
		name, info = strconv.Itoa(int(id)), ElementInfo{Kind: Unsigned}
	}
	if w.left() < idSize+valueSize {
		w.take(name, idSize, nil)
		w.fits("element value", valueSize)
		return
	}
	w.take(name, idSize+valueSize, func(b []byte) string { return elementValue(info, g, b[idSize:]) })
}

// variableElement visits an id, a length and as many bytes. If only id and length fit, they are visited alone.
func (w *walker) variableElement() {
	if !w.fits("element id and length", 4) {
		return
	}
	b := w.packet.Raw[w.pos:w.limit]
	size := int(binary.BigEndian.Uint16(b[2:]))
	name, info := elementName(binary.BigEndian.Uint16(b), teltonika.GroupX)
	if len(b) < 4+size {
		w.take(name, 4, func([]byte) string { return plural(size, "byte") })
		w.fits("element value", size)
		return
	}
	w.take(name, 4+size, func(b []byte) string { return elementValue(info, teltonika.GroupX, b[4:]) })
}
