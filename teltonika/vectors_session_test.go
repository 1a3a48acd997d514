package teltonika

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

func TestVectorsLogins(t *testing.T) {
	seen := 0
	for _, v := range vectors(t) {
		if v.Kind != "login" {
			continue
		}
		seen++
		var want struct {
			IMEI string `json:"imei"`
		}
		if err := json.Unmarshal(v.Decoded, &want); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		packet := v.bytes(t)
		got, err := ParseLogin(packet)
		if err != nil || got != want.IMEI {
			t.Errorf("%s: %q, %v, want %q", v.Name, got, err, want.IMEI)
		}
		if n, err := ParseLoginLength(packet[:2]); err != nil || n != len(packet)-2 {
			t.Errorf("%s: length %d, %v", v.Name, n, err)
		}
		if answer := hex.EncodeToString(AppendLoginAnswer(nil, true)); answer != v.answer() {
			t.Errorf("%s: answer %s, want %s", v.Name, answer, v.answer())
		}
	}
	if seen != 10 {
		t.Errorf("%d logins, expected 10", seen)
	}
	if refusal := AppendLoginAnswer(nil, false); len(refusal) != 1 || refusal[0] != 0 {
		t.Errorf("refusal %x, want 00", refusal)
	}
}

func TestVectorsDatagrams(t *testing.T) {
	wrongLength := map[string]bool{
		"filipkroca-udp-avl-c8e-003": true,
		"mcraiha-udp-avl-c8-004":     true,
		"mcraiha-udp-avl-c8e-004":    true,
		"openremote-udp-avl-c16-001": true,
		"tngprag-udp-avl-c8-001":     true,
	}
	var data AVLData
	seen := 0
	for _, v := range vectors(t) {
		if v.Transport != "udp" || !v.isAVL() {
			continue
		}
		seen++
		packet := v.bytes(t)
		d, err := ParseDatagram(packet)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if d.PacketID != v.PacketID || d.AVLPacketID != v.AVLPacketID || d.Type != v.PacketType || d.IMEI != v.IMEI {
			t.Errorf("%s: packet id %04x, AVL packet id %d, type %d, IMEI %s", v.Name, d.PacketID, d.AVLPacketID, d.Type, d.IMEI)
		}
		if d.LengthOK() == wrongLength[v.Name] {
			t.Errorf("%s: LengthOK is %v with %d in %d bytes", v.Name, d.LengthOK(), d.Length, len(packet))
		}
		if d.BodyOffset()+len(d.Body) != len(packet) {
			t.Errorf("%s: body of %d bytes at %d in %d", v.Name, len(d.Body), d.BodyOffset(), len(packet))
		}
		answer := ""
		if data.Decode(d.Body) == nil {
			answer = hex.EncodeToString(d.AppendAnswer(nil, len(data.Records)))
		}
		if answer != v.answer() {
			t.Errorf("%s: answer %q, want %q", v.Name, answer, v.answer())
		}
	}
	if seen != 25+2 {
		t.Errorf("%d datagrams, expected 27", seen)
	}
}

func TestVectorsAnswer(t *testing.T) {
	v := vectorNamed(t, "wiki-udp-ack-001")
	got, err := ParseAnswer(v.bytes(t))
	if want := (Answer{PacketID: 0xCAFE, AVLPacketID: 5, Accepted: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// Streams are read as a server would: keep-alives skipped, logins and frames cut off by their lengths.
func TestVectorsStreams(t *testing.T) {
	want := map[string]string{
		"misc-raw-keepalive-001": "",
		"synth-raw-stream-001":   "01 00000001",
		"synth-raw-stream-003":   "00000001 00000002 - 00000001",
	}
	seen := 0
	for _, v := range vectors(t) {
		if v.Transport != "raw" {
			continue
		}
		seen++
		stream := v.bytes(t)
		if answers := strings.Join(serve(t, stream), " "); answers != want[v.Name] {
			t.Errorf("%s: answers %q, want %q", v.Name, answers, want[v.Name])
		}
		// The same with keep-alives in front.
		stream = append([]byte{KeepAlive, KeepAlive}, stream...)
		if answers := strings.Join(serve(t, stream), " "); answers != want[v.Name] {
			t.Errorf("%s behind keep-alives: answers %q, want %q", v.Name, answers, want[v.Name])
		}
	}
	if seen != len(want) {
		t.Errorf("%d streams, expected %d", seen, len(want))
	}
}

// serve answers the packets of a stream, in hex, with "-" for no answer.
func serve(t *testing.T, stream []byte) (answers []string) {
	t.Helper()
	for len(stream) > 0 {
		if stream[0] == KeepAlive {
			stream = stream[1:]
			continue
		}
		if n, err := ParseLoginLength(stream); err == nil {
			if _, err := ParseLogin(stream[:2+n]); err != nil {
				t.Fatal(err)
			}
			answers, stream = append(answers, "01"), stream[2+n:]
			continue
		}
		frame, rest, err := ParseFrame(stream, testMaxLength)
		if err != nil {
			t.Fatal(err)
		}
		if err := frame.Verify(); err != nil {
			t.Fatal(err)
		}
		answer := "-"
		if frame.Codec().IsAVL() {
			answer = hex.EncodeToString(AppendAck(nil, frame.Count()))
		}
		answers, stream = append(answers, answer), rest
	}
	return answers
}
