package teltonika

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/cases/*/decoded.txt")

// A case is a folder: packet.hex, one packet in hex with any white space, and decoded.txt, what it says.
// `go test ./teltonika -run TestCases -update` writes decoded.txt anew, to be read before it is committed.
func TestCases(t *testing.T) {
	packets, err := filepath.Glob("testdata/cases/*/packet.hex")
	if err != nil || len(packets) < 10 {
		t.Fatalf("%d cases, %v", len(packets), err)
	}
	for _, path := range packets {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := describePacket(unhex(t, strings.Join(strings.Fields(string(text)), "")))
		golden := filepath.Join(filepath.Dir(path), "decoded.txt")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n got %s\nwant %s", golden, got, want)
		}
	}
}

// describePacket says what a packet of any kind holds, the answer included.
func describePacket(packet []byte) string {
	if imei, err := ParseLogin(packet); err == nil {
		return fmt.Sprintf("login %s\nanswer %x\n", imei, AppendLoginAnswer(nil, true))
	}
	if a, err := ParseAnswer(packet); err == nil {
		return fmt.Sprintf("UDP answer, packet id %04x, AVL packet id %d, accepted %d\n", a.PacketID, a.AVLPacketID,
			a.Accepted)
	}
	if len(packet) >= 4 && [4]byte(packet) == [4]byte{} {
		return describeFrame(packet)
	}
	return describeDatagram(packet)
}

func describeFrame(packet []byte) string {
	frame, _, err := ParseFrame(packet, testMaxLength)
	if err != nil {
		return describeError(err)
	}
	if err := frame.Verify(); err != nil {
		return describeError(err)
	}
	text, records, err := describeBody(frame.Body())
	if err != nil {
		return text + describeError(Shift(err, HeaderSize))
	}
	if !frame.Codec().IsAVL() {
		return text + "no answer\n"
	}
	return text + fmt.Sprintf("answer %x\n", AppendAck(nil, records))
}

func describeDatagram(packet []byte) string {
	d, err := ParseDatagram(packet)
	if err != nil {
		return describeError(err)
	}
	head := fmt.Sprintf("datagram, length field %d of %d, packet id %04x, type %d, AVL packet id %d, IMEI %s\n",
		d.Length, len(packet)-2, d.PacketID, d.Type, d.AVLPacketID, d.IMEI)
	text, records, err := describeBody(d.Body)
	if err != nil {
		return head + text + describeError(Shift(err, d.BodyOffset()))
	}
	return head + text + fmt.Sprintf("answer %x\n", d.AppendAnswer(nil, records))
}

func describeError(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("error of another type: %v\n", err)
	}
	return fmt.Sprintf("error: %v\nstream can go on: %v\n", err, e.StreamOK())
}

func describeBody(body []byte) (text string, records int, err error) {
	if !Codec(body[0]).IsMessage() {
		var data AVLData
		err := data.Decode(body)
		return describeAVL(&data), len(data.Records), err
	}
	var m Messages
	err = m.Decode(body)
	var out strings.Builder
	fmt.Fprintf(&out, "codec %v, quantity %d, messages %d\n", m.Codec, m.Quantity, len(m.Messages))
	for i, msg := range m.Messages {
		fmt.Fprintf(&out, "message %d: type %d, size %d", i+1, msg.Type, msg.Size)
		if m.Codec.HasTimestamp() {
			fmt.Fprintf(&out, ", timestamp %d", msg.Timestamp)
		}
		if m.Codec.hasIMEI() {
			fmt.Fprintf(&out, ", IMEI %s", msg.IMEI)
		}
		fmt.Fprintf(&out, ", payload %q\n", msg.Payload)
	}
	return out.String(), 0, err
}

// describeAVL is also the text behind testdata/traffic.golden.
func describeAVL(d *AVLData) string {
	var out strings.Builder
	variant := ""
	if d.N16 {
		variant = " with a 16-byte group"
	}
	fmt.Fprintf(&out, "codec %v%s, records %d\n", d.Codec, variant, len(d.Records))
	for i := range d.Records {
		r := &d.Records[i]
		fmt.Fprintf(&out, "record %d: timestamp %d, priority %d, longitude %d, latitude %d, "+
			"altitude %d, angle %d, satellites %d, speed %d, event %d",
			i+1, r.Timestamp, r.Priority, r.Longitude, r.Latitude, r.Altitude, r.Angle, r.Satellites, r.Speed, r.EventID)
		if d.Codec == Codec16 {
			fmt.Fprintf(&out, ", generation %d", r.Generation)
		}
		if d.Codec == Codec7 {
			fmt.Fprintf(&out, ", lacks %08b, LAC %d, CID %d, signal %d, operator %d", r.Lacks, r.LAC, r.CID, r.Signal,
				r.Operator)
		}
		out.WriteByte('\n')
		for _, e := range r.Elements {
			fmt.Fprintf(&out, "  %d, %d bytes: %s\n", e.ID, e.Size, valueHex(r, e))
		}
	}
	return out.String()
}

// valueHex is the element's value as sent.
func valueHex(r *Record, e Element) string {
	if e.Numeric() {
		return fmt.Sprintf("%0*x", 2*int(e.Size), e.Uint())
	}
	return hex.EncodeToString(r.Bytes(e))
}
