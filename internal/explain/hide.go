package explain

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// HidePositions has nothing that is written of the packet from now on say where the device is: neither its coordinates
// nor the cells of the mobile network around it, in words or in bytes. What a device says in a message may be its
// position too, so all of that is hidden. Of a packet that cannot be taken apart only the beginning is shown.
func (p *Packet) HidePositions() { p.private = true }

// shownBeginning is how many bytes are shown of what is no packet; no position fits in behind what tells it apart.
const shownBeginning = 16

// hidden stands for a value that is not shown, and hiddenByte for a byte.
const (
	hidden     = "hidden"
	hiddenByte = ".."
)

// places are the fields that say where the device is, by the library's names.
var places = []string{"longitude", "latitude", "altitude", "LAC", "CID"}

// isPlace reports whether the field that is at hand says where the device is, or may.
func (w *walker) isPlace(name string) bool {
	return w.place || slices.Contains(places, name) || name == "payload" && !w.isCommand()
}

// isCommand reports whether the message at hand is one to the device.
func (w *walker) isCommand() bool {
	m, i := w.packet.Messages, w.entry.number-1
	return m != nil && 0 <= i && i < len(m.Messages) && m.Messages[i].Type == teltonika.TypeCommand
}

// isPlace reports whether the element says where the device is, on any of the families that it may be of.
func (e *element) isPlace() bool {
	if e.reader == nil {
		return false
	}
	means := func(d *meaning.Definition) bool { return isPlace(d.Name) }
	if slices.ContainsFunc(e.reader.Definitions(e.id, e.width()), means) {
		return true
	}
	return slices.ContainsFunc(e.reader.Candidates(), func(f meaning.Family) bool {
		return slices.ContainsFunc(e.reader.Dictionary().Lookup(f, e.reader.Model(), e.id, e.width()), means)
	})
}

// isPlace goes by the name of a signal: coordinates, and the cells of the mobile network.
func isPlace(signal string) bool {
	return signal == "iso6709.position" || signal == "gsm.lac" || strings.HasPrefix(signal, "gsm.cell") ||
		strings.HasPrefix(signal, "lte.cell") || strings.HasPrefix(signal, "neighbouring.cell.")
}

// hiding is visit, with what is to be hidden taken out of the fields.
func (p *Packet) hiding(visit func(Field)) func(Field) {
	if !p.private {
		return visit
	}
	from, to := p.obscure()
	return func(f Field) {
		begin := f.Offset - p.Offset
		switch end := begin + len(f.Raw); {
		case len(f.Raw) == 0:
		case f.place:
			f.Hidden = len(f.Raw)
		case from < end && begin < to:
			f.Hidden = end - max(begin, from)
		}
		if f.Hidden > 0 && f.Value != "" {
			f.Value = hidden
		}
		visit(f)
	}
}

// obscure is the part of Raw of which nobody can tell what in it is a position.
func (p *Packet) obscure() (from, to int) {
	_, counted := p.Count()
	switch {
	case p.isReadable():
		return 0, 0
	case !counted:
		return shownBeginning, len(p.Raw)
	case p.whole():
		return p.bodyStart + 2, p.bodyEnd - 1 // number of data 2, which may be what is wrong
	}
	return p.bodyStart + 2, len(p.Raw)
}

// isReadable reports whether all fields of the packet are known for what they are.
func (p *Packet) isReadable() bool {
	return p.OK() || len(p.problems) == 1 && errors.Is(p.Err(), teltonika.ErrCount) && len(p.records()) > 0
}

// hideIn takes out of the object what is to be hidden.
func (p *Packet) hideIn(o *dataObject) {
	if !p.isReadable() {
		o.Records, o.Messages, o.Meaning = o.Records[:0], o.Messages[:0], nil
	}
	for i := range o.Records {
		r := &o.Records[i]
		r.Longitude, r.Latitude, r.Altitude = nil, nil, nil
		if seven := r.recordObject7; seven != nil {
			seven.Longitude, seven.Latitude, seven.LAC, seven.CID = nil, nil, nil, nil
		}
		for j, e := range p.AVL.Records[i].Elements {
			if in := p.element(e.ID, e.Group, elementBytes(&p.AVL.Records[i], e)); in.isPlace() {
				r.IO[j][2] = nil
			}
		}
	}
	for i := range o.Messages {
		if m := &o.Messages[i]; m.Type != teltonika.TypeCommand {
			m.Payload, m.Text = nil, nil
		}
	}
}

// Hex is the packet in hex, with two dots for each byte that is hidden, and how many those are.
func (p *Packet) Hex() (text string, hidden int) {
	var all strings.Builder
	p.annotate(true, func(f Field) {
		all.WriteString(strings.Join(hexOf(f.Raw, f.Hidden), ""))
		hidden += f.Hidden
	})
	return all.String(), hidden
}

// hexOf is the bytes in hex, but for those at the end that are hidden.
func hexOf(b []byte, hidden int) []string {
	all := make([]string, len(b))
	for i := range all {
		if all[i] = hiddenByte; i < len(b)-hidden {
			all[i] = hex.EncodeToString(b[i : i+1])
		}
	}
	return all
}
