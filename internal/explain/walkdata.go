package explain

import (
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// entry is the record or message that the walker is in.
type entry struct {
	number int // from 1; 0 outside of all
	start  int // in packet.Raw
	total  int // the elements that a record claims to have; -1 if it says nothing
	found  int // the elements that its groups count
	fix    bool
	id     teltonika.Field // of the element whose value comes next
}

// splitAt is where fields come apart that the library takes together, in bytes.
var splitAt = map[string]int{"type and size": 1, "latitude and longitude": 4, "LAC and CID": 2}

// traced visits a field of the data field.
func (w *walker) traced(f teltonika.Field) {
	if f.Record != w.entry.number {
		w.endEntry()
		w.beginEntry(f.Record)
	}
	switch {
	case f.Name == "number of data 2":
		if w.left() > 0 {
			w.stop("in none of the records or messages")
		}
		w.until(w.packet.bodyEnd)
		w.take(f.Name, f.Size, number)
	case f.Element > 0:
		w.element(f)
	case f.Name == "element count":
		w.fix7()
		w.entry.found += int(uintOf(w.take("elements "+groupMeaning(f.Group), f.Size, number)))
	case f.Name == "message":
		w.stop(tooLong("the message", f.Size, len(f.Bytes)))
	case len(f.Bytes) < f.Size:
		w.stop(tooLong(f.Name, f.Size, len(f.Bytes)))
	default:
		w.named(f)
	}
}

func (w *walker) beginEntry(number int) {
	w.entry = entry{number: number, start: w.pos, total: -1}
	if number == 0 {
		return
	}
	title := "record "
	if codec, _ := w.packet.Codec(); codec.IsMessage() {
		title = "message "
	}
	if number == 1 && w.packet.AVL != nil && w.packet.AVL.N16 {
		w.remark("old variant of Codec 8 with a group of 16-byte values", "")
	}
	w.remark(title+strconv.Itoa(number), "")
	w.depth = 1
}

// endEntry says what only the end of a record shows.
func (w *walker) endEntry() {
	w.fix7()
	if w.entry.total >= 0 && w.entry.total != w.entry.found {
		w.remark("the groups hold "+plural(w.entry.found, "element")+": they decide", "")
	}
	w.depth = 0
}

// named visits a field that is not part of an element.
func (w *walker) named(f teltonika.Field) {
	name, size := f.Name, f.Size
	if first := splitAt[f.Name]; first > 0 {
		name, _, _ = strings.Cut(f.Name, " and ")
		w.take(name, first, w.meaning(name))
		name, size = f.Name[len(name)+len(" and "):], size-first
	}
	w.take(name, size, w.meaning(name))
	codec, _ := w.packet.Codec()
	switch {
	case name == "total elements":
		w.entry.total = int(uintOf(f.Bytes))
	case name == "speed" && codec != teltonika.Codec7:
		w.remark("fix", fixMeaning(w.packet.Raw[w.entry.start:w.pos]))
	case name == "size" && w.leavesOutPrefix():
		w.remark("the size leaves out the timestamp and IMEI, as some devices do", "")
	}
}

// fix7 says what the fix of a record of Codec 7 is, once, behind its GPS element.
func (w *walker) fix7() {
	codec, _ := w.packet.Codec()
	if r := w.decoded(); r != nil && codec == teltonika.Codec7 && !w.entry.fix {
		w.entry.fix = true
		w.remark("fix", fixMeaning7(r))
	}
}

// decoded is the library's record, nil outside of records and if the packet does not decode.
func (w *walker) decoded() *teltonika.Record {
	i := w.entry.number - 1
	if w.packet.AVL == nil || i < 0 || i >= len(w.packet.AVL.Records) {
		return nil
	}
	return &w.packet.AVL.Records[i]
}

// leavesOutPrefix reports whether the size of the message is that of its payload in a codec where it counts more.
func (w *walker) leavesOutPrefix() bool {
	m, i := w.packet.Messages, w.entry.number-1
	if m == nil || i >= len(m.Messages) || m.Codec == teltonika.Codec12 {
		return false
	}
	return int(m.Messages[i].Size) == len(m.Messages[i].Payload)
}

// element visits an element when its value comes. Of one whose value does not fit, the id is visited alone.
func (w *walker) element(f teltonika.Field) {
	short := len(f.Bytes) < f.Size
	switch {
	case f.Name != "value" && short:
		w.stop(tooLong("element "+f.Name, f.Size, len(f.Bytes)))
		return
	case f.Name != "value":
		w.entry.id = f
		return
	}
	head := w.entry.id.Size
	name, describe := w.elementMeaning(f, head)
	defer func() { w.place = false }()
	w.depth = 2
	switch {
	case !short:
		w.take(name, head+f.Size, describe)
	case f.Group == teltonika.GroupX:
		w.take(name, head, func([]byte) string { return plural(f.Size, "byte") })
	default:
		w.take(name, head, nil)
	}
	w.depth = 1
	if short {
		w.stop(tooLong("element value", f.Size, len(f.Bytes)))
	}
}

// elementMeaning is the name of the element with the value f, and a function for its bytes, which begin with head bytes
// of id. The elements of Codec 7 have no names, because their ids are not those of newer devices: 1, a digital input
// there, counts up to 100 here.
func (w *walker) elementMeaning(f teltonika.Field, head int) (name string, describe func([]byte) string) {
	id := w.entry.id.Bytes
	if f.Group == teltonika.GroupX {
		id = id[:2]
	}
	e := w.packet.element(uint16(uintOf(id)), f.Group, f.Bytes)
	name = strconv.Itoa(int(e.id))
	if codec, _ := w.packet.Codec(); codec != teltonika.Codec7 {
		if w.place = w.packet.private && e.isPlace(); !w.silent {
			name = e.name()
		}
	}
	return name, func([]byte) string { return e.text() }
}

// meaning says what the bytes of a field mean.
func (w *walker) meaning(name string) func([]byte) string {
	codec, _ := w.packet.Codec()
	switch {
	case name == "event id":
		return w.eventMeaning
	case name == "timestamp" && codec.IsMessage():
		return seconds
	case codec == teltonika.Codec7 && meanings7[name] != nil:
		return meanings7[name]
	}
	return meanings[name]
}

func (w *walker) eventMeaning(b []byte) string {
	id := uint16(uintOf(b))
	if id == 0 {
		return "0 (periodic)"
	}
	return eventName(w.packet.reader, id, w.decoded())
}
