package explain

import (
	"iter"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Devices tells from packets which family each of their devices is of, and so what the elements mean. A packet is read
// by what it says itself and by what the good packets of its device before it have said. The zero value knows nothing
// and uses the embedded dictionary.
//
// A datagram names its device. A frame's device is the one of the login before it in the same line. As long as the
// input has one login only, it is also that of frames in later lines. Frames of a line without any login are one
// device's; those of different lines may not be.
type Devices struct {
	Dictionary *meaning.Dictionary // nil: the embedded one
	Identity   meaning.Identity    // what is known of every device beside its packets; a family pins it

	known  map[string]*meaning.Evidence
	login  string            // of the line; else the only one of the input
	first  string            // the first login of the input
	mixed  bool              // there was another one
	stream *meaning.Evidence // of the line, while there was no login
}

// maxDevices bounds the devices that are known at once. They are forgotten all together, and learnt anew.
const maxDevices = 10_000

// Line returns the packets that a text in hex holds. A text that is not hex is one packet that is not OK.
func (d *Devices) Line(text string, t Transport) iter.Seq[*Packet] {
	input, err := ParseHex(text)
	if err != nil {
		if t == Auto {
			t = ""
		}
		return func(yield func(*Packet) bool) { yield(&Packet{Transport: t, problems: []error{err}}) }
	}
	return d.Packets(input, t)
}

// Packets returns the packets that the input holds, in order and without a gap. TCP input is a stream: logins,
// frames and keep-alive bytes back to back; once the boundaries are lost, the rest is one packet that is not OK.
// UDP input is one datagram.
func (d *Devices) Packets(input []byte, t Transport) iter.Seq[*Packet] {
	return d.PacketsOf("", input, t)
}

// PacketsOf is Packets of the device with that IMEI, if it is known from elsewhere.
func (d *Devices) PacketsOf(imei string, input []byte, t Transport) iter.Seq[*Packet] {
	return func(yield func(*Packet) bool) {
		if d.beginLine(); imei != "" {
			d.login = imei
		}
		for p := range split(input, t) {
			d.read(p)
			if !yield(p) {
				return
			}
		}
	}
}

// read finds out how the packet's elements are to be read.
func (d *Devices) read(p *Packet) {
	if p.Kind == KindLogin && p.OK() {
		d.mixed = d.mixed || d.first != "" && d.first != p.Login
		d.login, d.first = p.Login, p.Login
	}
	codec, _ := p.Codec()
	if !codec.IsAVL() || codec == teltonika.Codec7 {
		return // the ids of Codec 7 are not those of the dictionary
	}
	imei, kept := d.evidence(p)
	own := kept.Clone()
	for _, r := range p.records() {
		for _, e := range r.Elements {
			own.Add(d.dictionary(), meaning.Element{ID: e.ID, Width: meaning.Width(e.Group), Number: e.Uint()})
		}
	}
	if p.OK() {
		*kept = own
	}
	p.reader = meaning.Resolve(d.dictionary(), imei, d.Identity, &own)
}

func (d *Devices) beginLine() {
	d.stream = new(meaning.Evidence)
	if d.login = d.first; d.mixed {
		d.login = ""
	}
}

// evidence is what is known of the packet's device, and its IMEI if that is known.
func (d *Devices) evidence(p *Packet) (imei string, _ *meaning.Evidence) {
	if imei = d.login; p.Transport == UDP {
		imei = p.Datagram.IMEI
	}
	if imei == "" {
		return "", d.stream
	}
	if d.known == nil || len(d.known) >= maxDevices {
		d.known = map[string]*meaning.Evidence{}
	}
	if d.known[imei] == nil {
		d.known[imei] = new(meaning.Evidence)
	}
	return imei, d.known[imei]
}

func (d *Devices) dictionary() *meaning.Dictionary {
	if d.Dictionary == nil {
		return meaning.Embedded()
	}
	return d.Dictionary
}
