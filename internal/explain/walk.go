package explain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Field is one annotated piece of a packet. The Raw of a packet's fields, one after the other, is the packet's.
type Field struct {
	Offset  int    // of Raw from the start of the input line, in bytes
	Raw     []byte // empty for a heading or a remark
	Depth   int    // of nesting: 0 packet, 1 record or message, 2 IO element
	Name    string
	Value   string // with its unit; may be empty
	Problem string // what is wrong here; may be empty
	Hidden  int    // bytes at the end of Raw that are not to be shown; see [Packet.HidePositions]

	place bool // it says where the device is
}

// Annotate calls visit for each field of the packet, in the order of the bytes.
func (p *Packet) Annotate(visit func(Field)) { p.annotate(false, visit) }

// annotate does it, in silence without values and elements' names.
func (p *Packet) annotate(silent bool, visit func(Field)) {
	w := &walker{packet: p, limit: len(p.Raw), pending: slices.Clone(p.problems), visit: p.hiding(visit), silent: silent}
	switch p.Kind {
	case KindKeepAlive:
		w.take("keep-alive", 1, nil)
	case KindPadding:
		w.take("zeros", w.left(), nil)
	case KindLogin:
		w.take("length", 2, number)
		w.take("identifier", w.left(), text)
	case KindAck:
		w.udpHeader()
		w.take("accepted records", 1, number)
	case KindData:
		if p.Transport == UDP {
			w.datagram()
		} else {
			w.frame()
		}
	}
	if w.left() > 0 {
		w.stop("")
	}
}

// walker goes through a packet field by field. In the data field the library tells it where each of them is; what is
// wrong with the packet, and where, it has from the library too.
type walker struct {
	packet  *Packet
	pos     int // of the next field in packet.Raw
	limit   int // where the part of the packet ends that is being read
	depth   int
	stopped bool    // a field did not fit: nothing up to limit can be told apart
	pending []error // the packet's problems that no field has told yet
	visit   func(Field)
	silent  bool
	place   bool // the element at hand says where the device is

	entry entry // of the data field
}

func (w *walker) left() int { return w.limit - w.pos }

// take visits the next size bytes as one field and returns them. It returns nil if they do not fit, and visits
// what is left as not decoded.
func (w *walker) take(name string, size int, describe func([]byte) string) []byte {
	if !w.fits(name, size) {
		return nil
	}
	b := w.packet.Raw[w.pos : w.pos+size]
	f := Field{Offset: w.packet.Offset + w.pos, Raw: b, Depth: w.depth, Name: name, place: w.isPlace(name)}
	if describe != nil && !w.silent {
		f.Value = describe(b)
	}
	f.Problem = w.problemAt(f.Offset, size)
	w.pos += size
	w.visit(f)
	return b
}

// fits reports whether the next field, of size bytes, is there.
func (w *walker) fits(name string, size int) bool {
	if w.stopped {
		return false
	}
	if size > w.left() {
		w.stop(tooLong(name, size, w.left()))
		return false
	}
	return true
}

// stop visits what is left up to the limit as not decoded. The reason stands there if the packet is cut off;
// otherwise the library's error says it, here or at an earlier field.
func (w *walker) stop(reason string) {
	if w.stopped {
		return
	}
	w.stopped = true
	offset := w.packet.Offset + w.pos
	problem := w.problemAt(offset, max(1, w.left()))
	if problem == "" && errors.Is(w.packet.Err(), teltonika.ErrIncomplete) {
		problem = reason
	}
	f := Field{Offset: offset, Raw: w.packet.Raw[w.pos:w.limit], Name: "not decoded", Problem: problem}
	w.pos = w.limit
	w.visit(f)
}

// tooLong says that the input ends before the field does.
func tooLong(name string, size, left int) string {
	return fmt.Sprintf("cut off here: %s takes %s, %d are left", name, plural(size, "byte"), left)
}

// until moves the limit, to read the next part of the packet even if this one stopped.
func (w *walker) until(limit int) {
	w.limit = min(limit, len(w.packet.Raw))
	if w.pos < w.limit {
		w.stopped = false
	}
}

// problemAt is the pending problem that lies in the bytes from offset on. The end of the input is no problem of the
// field where the library noticed it.
func (w *walker) problemAt(offset, size int) string {
	for i, problem := range w.pending {
		var e *teltonika.Error
		if errors.As(problem, &e) && e.Err != teltonika.ErrIncomplete && offset <= e.Offset && e.Offset < offset+size {
			w.pending = slices.Delete(w.pending, i, i+1)
			return problem.Error()
		}
	}
	return ""
}

// remark visits something to say that has no bytes.
func (w *walker) remark(name, value string) {
	if !w.stopped {
		w.visit(Field{Offset: w.packet.Offset + w.pos, Depth: w.depth, Name: name, Value: value})
	}
}

func (w *walker) frame() {
	w.take("preamble", 4, nil)
	w.take("data field length", 4, byteCount)
	if w.packet.bodyEnd == 0 {
		return
	}
	w.body()
	w.until(len(w.packet.Raw))
	w.take("CRC", teltonika.TrailerSize, w.crcMeaning)
}

func (w *walker) crcMeaning(field []byte) string {
	crc := teltonika.CRC(w.packet.Raw[w.packet.bodyStart:w.packet.bodyEnd])
	if binary.BigEndian.Uint32(field) == uint32(crc) {
		return fmt.Sprintf("%04x, right", crc)
	}
	return fmt.Sprintf("%08x, WRONG: the data's CRC is %08x", field, crc)
}

func (w *walker) udpHeader() {
	w.take("length", 2, w.lengthMeaning)
	w.take("packet id", 2, pattern)
	w.take("packet type", 1, number)
	w.take("AVL packet id", 1, number)
}

func (w *walker) lengthMeaning(field []byte) string {
	length, follow := int(binary.BigEndian.Uint16(field)), len(w.packet.Raw)-2
	switch {
	case length == follow:
		return byteCount(field)
	case length == w.packet.bodyEnd-2:
		return byteCount(field) + ", and zeros behind them"
	}
	return fmt.Sprintf("%s, but %d follow; the datagram's own size decides", byteCount(field), follow)
}

func (w *walker) datagram() {
	w.udpHeader()
	n := w.take("IMEI length", 2, number)
	if n == nil || w.packet.bodyEnd == 0 && w.left() < int(binary.BigEndian.Uint16(n)) {
		return
	}
	w.take("IMEI", int(binary.BigEndian.Uint16(n)), text)
	if w.packet.bodyEnd == 0 {
		return
	}
	w.body()
	if w.until(len(w.packet.Raw)); w.left() > 0 {
		w.take("padding", w.left(), nil)
	}
}

// body visits the data field, or as much of it as there is.
func (w *walker) body() {
	p := w.packet
	size := max(p.bodyEnd-p.bodyStart, teltonika.MinLength)
	body := p.Raw[p.bodyStart:max(p.bodyStart, min(p.bodyEnd, len(p.Raw)))]
	if len(body) == size {
		w.limit = p.bodyEnd - 1 // number of data 2 is no part of what stands before it
	}
	teltonika.Trace(body, size, w.traced)
}
