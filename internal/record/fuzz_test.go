package record

import (
	"encoding/binary"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// FuzzRecord makes a record of any fields and elements. Its document must be that of the reference.
func FuzzRecord(f *testing.F) {
	f.Add(uint64(1560161086000), int32(546674250), int32(252560283), int16(172), uint16(248), uint16(0), uint16(66),
		uint8(11), uint8(1), uint8(5), uint8(2), int64(1795345200123), []byte("\x00\x00\x15\x03\x03\x00\x4e\x00"))
	f.Add(uint64(MaxTimestamp), int32(-1), int32(-1<<31), int16(-1<<15), uint16(65535), uint16(65535), uint16(65535),
		uint8(0), uint8(255), uint8(255), uint8(1), int64(-1), []byte("\x00\x00\x05\x01\x01\x04\x05\x00\x02\x00\x00\x05\x01"))
	f.Add(uint64(1560161086000), int32(546674250), int32(252560283), int16(172), uint16(248), uint16(0), uint16(0xAA55),
		uint8(0), uint8(1), uint8(5), uint8(3), int64(1795345200123), []byte("\x00\x00\x15\x03\x03\x00\x4e\x00"))
	f.Add(uint64(MaxTimestamp+1), int32(0), int32(0), int16(0), uint16(0), uint16(0), uint16(0),
		uint8(0), uint8(0), uint8(0), uint8(0), int64(0), []byte{})
	var encoder Encoder // one for all, as in the server
	f.Fuzz(func(t *testing.T, timestamp uint64, latitude, longitude int32, altitude int16, angle, speed, event uint16,
		satellites, priority, generation, codec uint8, receivedMS int64, elements []byte) {
		// What only Codec 7 has is made of what it has not.
		r := teltonika.Record{
			Timestamp: timestamp, Latitude: latitude, Longitude: longitude, Altitude: altitude, Angle: angle,
			Speed: speed, EventID: event, Satellites: satellites, Priority: priority, Generation: generation,
			Raw: elements,
		}
		if codec%4 == 3 {
			r.Lacks, r.LAC, r.CID, r.Signal = teltonika.Fields(event), event, ^event, generation
			r.Operator = uint32(event) * uint32(event)
		}
		addElements(&r, elements)
		codecs := []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16, teltonika.Codec7}
		o := origin(codecs[int(codec)%len(codecs)])
		o.Received = time.UnixMilli(min(max(receivedMS, 0), MaxTimestamp))
		encoder.Raw = codec >= 128
		if codec&64 != 0 {
			o.Meaning = meaning.NewDevice(meaning.Embedded(), o.DeviceID)
		}
		encoder.Begin(o)
		_, doc, err := appendOne(&encoder, nil, &r)
		if timestamp > MaxTimestamp {
			if err == nil {
				t.Fatalf("no error for %d ms", timestamp)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkDocument(t, o, encoder.Raw, &r, doc)
	})
}

// addElements reads elements as group, id u16 and a value of the group's length.
func addElements(r *teltonika.Record, b []byte) {
	for len(b) >= 3 {
		group, id := teltonika.Group(b[0]%6), binary.BigEndian.Uint16(b[1:])
		size := int(b[0]/6) % 20
		b = b[3:]
		switch group {
		case teltonika.GroupX:
			size = min(size, len(b))
			r.AddBytes(id, group, b[:size])
			b = b[size:]
		case teltonika.Group16:
			var value [16]byte
			b = b[copy(value[:], b):]
			r.AddBytes(id, group, value[:])
		default:
			var value [8]byte
			b = b[copy(value[:1<<group], b):]
			r.AddNumber(id, group, binary.LittleEndian.Uint64(value[:]))
		}
	}
}

// FuzzFrame decodes any data field. Each of its records must get the reference's document.
func FuzzFrame(f *testing.F) {
	for i, v := range avlVectors(f) {
		if i%8 == 0 && len(v.body) < 600 {
			f.Add(v.body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var data teltonika.AVLData
		if data.Decode(body) == nil {
			checkFrame(t, &Encoder{Raw: true}, origin(data.Codec), data.Records)
			checkFrame(t, &Encoder{}, meaningOrigin(data.Codec), data.Records)
		}
	})
}
