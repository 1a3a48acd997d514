package teltonika

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// fieldPacket is one line of testdata/field.jsonl: a packet that somebody asked about in public, and what an
// independent decoder makes of it.
type fieldPacket struct {
	Name      string       `json:"name"`
	About     string       `json:"about"`
	Transport string       `json:"transport"`
	Codec     string       `json:"codec"`
	Hex       string       `json:"hex"`
	CRCOK     *bool        `json:"crc_ok"` // null over UDP, and where no frame begins
	OK        bool         `json:"ok"`     // one whole packet that parses to its end
	Decoded   []wantRecord `json:"decoded"`
}

func fieldPackets(t testing.TB) map[string]fieldPacket {
	t.Helper()
	lines, err := readLines[fieldPacket]("testdata/field.jsonl")
	if err != nil || len(lines) != 45 {
		t.Fatalf("%d packets, %v, expected 45", len(lines), err)
	}
	all := make(map[string]fieldPacket)
	for _, p := range lines {
		all[p.Name] = p
	}
	return all
}

// compare decodes a data field, whose records are then compared with those of the independent decoder.
func (p fieldPacket) compare(t *testing.T, body []byte) {
	t.Helper()
	var data AVLData
	if err := data.Decode(body); err != nil || data.Codec.String() != p.Codec {
		t.Fatalf("%s: codec %v, %v", p.About, data.Codec, err)
	}
	var got []wantRecord
	for i := range data.Records {
		got = append(got, asWant(&data.Records[i], data.Codec))
	}
	if !reflect.DeepEqual(plain(t, got), plain(t, p.Decoded)) {
		t.Errorf("%s:\n got %v\nwant %v", p.About, plain(t, got), plain(t, p.Decoded))
	}
}

// plain is v as JSON has it.
func plain(t *testing.T, v any) (plain any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestFieldPackets(t *testing.T) {
	all := fieldPackets(t)
	seen := 0
	for name, p := range all {
		if !p.OK {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			packet := unhex(t, p.Hex)
			if p.Transport == "udp" {
				d, err := ParseDatagram(packet)
				if err != nil || !d.LengthOK() {
					t.Fatalf("%s: %v, length %d of %d", p.About, err, d.Length, len(packet))
				}
				p.compare(t, d.Body)
				return
			}
			frame, rest, err := ParseFrame(packet, testMaxLength)
			if err != nil || len(rest) > 0 {
				t.Fatalf("%s: %v, %d bytes left", p.About, err, len(rest))
			}
			if err := frame.Verify(); (err == nil) != *p.CRCOK {
				t.Errorf("%s: %v", p.About, err)
			}
			p.compare(t, frame.Body())
		})
	}
	if seen != 41 {
		t.Errorf("%d whole packets, expected 41", seen)
	}
}

// A frame with the zeros of somebody's read buffer behind it is cut off where its length says.
func TestFieldFrameWithZerosBehindIt(t *testing.T) {
	p := fieldPackets(t)["field-a16"]
	frame, rest, err := ParseFrame(unhex(t, p.Hex), testMaxLength)
	if err != nil || len(rest) != 1000 || frame.Verify() != nil {
		t.Fatalf("%v, %d bytes left, CRC: %v", err, len(rest), frame.Verify())
	}
	p.compare(t, frame.Body())
	if _, _, err := ParseFrame(rest, testMaxLength); !errors.Is(err, ErrLength) {
		t.Errorf("the zeros: %v", err)
	}
}

// A login and two frames in one capture are three packets.
func TestFieldCaptureOfLoginAndFrames(t *testing.T) {
	all := fieldPackets(t)
	if got := strings.Join(serve(t, unhex(t, all["field-a61"].Hex)), " "); got != "01 00000007 00000001" {
		t.Errorf("answers %s", got)
	}
}

// A made-up frame, cut short, says so in both of its ways.
func TestFieldFrameThatIsMadeUp(t *testing.T) {
	p := fieldPackets(t)["field-a67"]
	frame, rest, err := ParseFrame(unhex(t, p.Hex), testMaxLength)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	if err := frame.Verify(); !errors.Is(err, ErrCRC) {
		t.Errorf("CRC: %v", err)
	}
	var data AVLData
	if err := data.Decode(frame.Body()); !errors.Is(err, ErrOverrun) {
		t.Errorf("records: %v", err)
	}
}

// A datagram with its sender's buffer of zeros behind it is the datagram that its length field says.
func TestFieldDatagramWithZerosBehindIt(t *testing.T) {
	all := fieldPackets(t)
	p := all["field-a74"]
	packet := unhex(t, all["field-a77"].Hex)
	d, err := ParseDatagram(packet)
	if err != nil || !d.LengthOK() || d.BodyOffset()+len(d.Body) != len(packet)-200 || d.AVLPacketID != 0x96 {
		t.Fatalf("%v, %+v of %d bytes", err, d, len(packet))
	}
	p.compare(t, d.Body)
}
