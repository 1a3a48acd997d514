package simulate

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// template is the AVL record of a profile in wire form. A record is a copy of it with the fields that
// change written over, which is many times cheaper than encoding it. Templates are shared by all devices.
type template struct {
	wire     []byte
	event    uint16
	priority byte
	fields   []field
	aside    bool
	weight   int
}

// Where the fields of the fixed part lie in a record ("AVL data" in the vendor's wiki), and behind it the
// event id and the generation type of Codec 16.
const (
	atTimestamp  = 0
	atPriority   = 8
	atLongitude  = 9
	atLatitude   = 13
	atAltitude   = 17
	atAngle      = 19
	atSatellites = 21
	atSpeed      = 22
	atEvent      = 24
	atGeneration = 26
)

// field is an element value that changes from record to record.
type field struct {
	offset int // in the record
	size   int // bytes
	from   source
	low    uint64
	span   uint64 // number of values for fromNoise
}

// newTemplate encodes the profile once, and once more for each field with all its bits set: what differs
// is where the field lies. So the layout is known to the codec alone.
func newTemplate(p *profile) (*template, error) {
	wire, err := p.encode(-1)
	if err != nil {
		return nil, err
	}
	t := &template{wire: wire, event: p.event, priority: p.priority, aside: p.aside, weight: p.weight}
	for i, e := range p.elements {
		if e.from == fromNoise && e.high <= e.low {
			continue
		}
		marked, err := p.encode(i)
		if err != nil {
			return nil, err
		}
		f := field{offset: firstDifference(wire, marked), size: 1 << e.group, from: e.from, low: e.low}
		if e.from == fromNoise {
			f.span = e.high - e.low + 1
		}
		t.fields = append(t.fields, f)
	}
	t.addVariableFields(p)
	return t, nil
}

// addVariableFields makes the parts of variable-length values change that do so on the road: the
// characters of the VIN from device to device, the signal strength of beacons from record to record. These
// values are the only ones in the record with their placeholder bytes.
func (t *template) addVariableFields(p *profile) {
	for _, v := range p.variable {
		switch v.content {
		case vin:
			at := bytes.Index(t.wire, []byte(vinPlaceholder)) + len(vinPlaceholder) - 8
			t.fields = append(t.fields, field{offset: at, size: 8, from: fromDeviceDigits})
		case beacons:
			for i := range v.count {
				at := len(t.wire) - beaconSize*(v.count-i) + beaconSize - 1
				t.fields = append(t.fields, field{offset: at, size: 1, low: 0x9C, span: 60}) // -100 to -41 dBm
			}
		}
	}
}

// encode returns the profile's record with the lowest values, or, of the element number marked, with all
// bits inverted.
func (p *profile) encode(marked int) ([]byte, error) {
	r := teltonika.Record{EventID: 0, Generation: 7}
	for i, e := range p.elements {
		value := e.low
		if i == marked {
			value = ^value
		}
		r.AddNumber(e.id, e.group, value)
	}
	for _, v := range p.variable {
		r.AddBytes(v.id, teltonika.GroupX, v.value())
	}
	data := teltonika.AVLData{Codec: p.codec, Records: []teltonika.Record{r}}
	body, err := data.AppendBody(nil)
	if err != nil {
		return nil, fmt.Errorf("profile of codec %v: %w", p.codec, err)
	}
	return body[2 : len(body)-1], nil
}

const (
	vinPlaceholder = "WSX00TRK700000000"
	beaconSize     = 22 // flags, UUID 16, major 2, minor 2, signal strength 1
)

func (v variableElement) value() []byte {
	switch v.content {
	case vin:
		return []byte(vinPlaceholder)
	case beacons:
		value := []byte{0x11} // part 1 of 1
		for i := range v.count {
			value = append(value, 0x21)
			value = append(value, "simulated-beacon"...)
			value = append(value, 0, byte(i), 0, 1, 0)
		}
		return value
	}
	return nil
}

func firstDifference(a, b []byte) int {
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}

// appendRecord appends the record of a position of the given device.
func (t *template) appendRecord(dst []byte, codec teltonika.Codec, p *position, device identity) []byte {
	start := len(dst)
	dst = append(dst, t.wire...)
	b := dst[start:]
	_ = b[atEvent+1]
	binary.BigEndian.PutUint64(b[atTimestamp:], uint64(p.timestamp))
	binary.BigEndian.PutUint32(b[atLongitude:], uint32(p.longitude))
	binary.BigEndian.PutUint32(b[atLatitude:], uint32(p.latitude))
	binary.BigEndian.PutUint16(b[atAltitude:], uint16(p.altitude))
	binary.BigEndian.PutUint16(b[atAngle:], p.angle)
	b[atSatellites] = p.satellites
	binary.BigEndian.PutUint16(b[atSpeed:], p.speed)
	if t.event != 0 && (t.aside || p.noise&7 == 0) {
		t.markEvent(b, codec, p.noise>>3)
	}
	t.fill(b, p, device)
	return dst
}

// fill writes the values of the record's elements.
func (t *template) fill(b []byte, p *position, device identity) {
	random := p.noise | 1
	for i := range t.fields {
		f := &t.fields[i]
		value := f.low
		switch f.from {
		case fromNoise:
			random ^= random << 13
			random ^= random >> 7
			random ^= random << 17
			value += below(random, f.span)
		case fromIgnition:
			value = number(p.ignition)
		case fromMotion:
			value = number(p.speed > 0)
		case fromSpeed:
			value = uint64(p.speed)
		case fromOdometer:
			value = uint64(p.odometer)
		case fromDevice:
			value += device.number
		case fromDeviceDigits:
			value = device.digits
		}
		switch f.size {
		case 1:
			b[f.offset] = byte(value)
		case 2:
			binary.BigEndian.PutUint16(b[f.offset:], uint16(value))
		case 4:
			binary.BigEndian.PutUint32(b[f.offset:], uint32(value))
		case 8:
			binary.BigEndian.PutUint64(b[f.offset:], value)
		}
	}
}

// markEvent makes a record one that its event element has caused.
func (t *template) markEvent(b []byte, codec teltonika.Codec, noise uint64) {
	b[atPriority] = t.priority
	switch codec {
	case teltonika.Codec8:
		b[atEvent] = byte(t.event)
	case teltonika.Codec16:
		b[atGeneration] = byte(noise & 7)
		fallthrough
	default:
		binary.BigEndian.PutUint16(b[atEvent:], t.event)
	}
}

// identity is what tells one device's element values from another's.
type identity struct {
	number uint64 // 0 to Devices-1
	digits uint64 // the number as 8 ASCII digits
}

func newIdentity(device int) identity {
	return identity{
		number: uint64(device),
		digits: binary.BigEndian.Uint64(fmt.Appendf(nil, "%08d", device)),
	}
}

func number(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
