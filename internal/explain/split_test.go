package explain

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	login    = "000f333532303933303831343532323531"
	frame    = "000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000010000a57e"
	badCRC   = "000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000010000a57f"
	command  = "000000000000000f0c010500000007676574696e666f0100004312"
	datagram = "003b12340100000f333532303933303831343532323531" +
		"08010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000 01"
	udpAnswer = "0005cafe010501"
)

// TestStreams: what a line holds, as `transport kind ok` of each packet.
func TestStreams(t *testing.T) {
	tests := []struct {
		input string
		want  []string
	}{
		{"ffff", []string{"tcp keepalive", "tcp keepalive"}},
		{"ff" + login + "ff" + frame + "ffff" + command + frame, []string{
			"tcp keepalive", "tcp login", "tcp keepalive", "tcp data", "tcp keepalive", "tcp keepalive", "tcp data",
			"tcp data"}},
		{login + login, []string{"tcp login", "tcp login"}},
		{frame + badCRC + frame, []string{"tcp data", "tcp data NOT OK", "tcp data"}},
		{frame + "16030100", []string{"tcp data", "tcp  NOT OK"}},
		{frame + frame[:60], []string{"tcp data", "tcp data NOT OK"}},
		{"ff" + login[:20], []string{"tcp keepalive", "tcp login NOT OK"}},
		{"0000000000000002080000000000", []string{"tcp data NOT OK"}},                // length below 3
		{"00000005" + frame, []string{"tcp data NOT OK"}},                            // preamble
		{"0003414243", []string{"tcp login"}},                                        // a short name
		{"00054142434445", []string{"tcp login"}},                                    // as long as an answer over UDP
		{"000f3335320933", []string{"tcp login NOT OK"}},                             // a byte that is no digit
		{"00", []string{"tcp  NOT OK"}},                                              // may become a frame
		{"000f", []string{"tcp login NOT OK"}},                                       // may become a login
		{datagram, []string{"udp data"}},                                             // packet id 1234
		{strings.Replace(datagram, "003b1234", "00000000", 1), []string{"udp data"}}, // begins like a frame
		{datagram[:40], []string{"udp data NOT OK"}},
		{datagram[:8], []string{"udp data NOT OK"}},
		{udpAnswer, []string{"udp ack"}},
		{"474554202f20485454502f312e31", []string{"  NOT OK"}},
		{"16030100f8010000f4", []string{"  NOT OK"}},
	}
	for _, tt := range tests {
		if got := outline(tt.input, Auto); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, expected %q", tt.input, got, tt.want)
		}
	}
}

func outline(text string, transport Transport) []string {
	var all []string
	for p := range Line(text, transport) {
		line := fmt.Sprintf("%s %s", p.Transport, p.Kind)
		if !p.OK() {
			line += " NOT OK"
		}
		all = append(all, line)
	}
	return all
}

// TestTransportDecides: what is asked for wins over what the bytes look like.
func TestTransportDecides(t *testing.T) {
	if got := outline(datagram, TCP); !slices.Equal(got, []string{"tcp login NOT OK"}) {
		t.Errorf("datagram as TCP: %q", got)
	}
	if got := outline(frame, UDP); !slices.Equal(got, []string{"udp data NOT OK"}) {
		t.Errorf("frame as UDP: %q", got)
	}
}

// TestOffsets: errors count from the start of the line.
func TestOffsets(t *testing.T) {
	packets := objects(t, frame+"ff"+badCRC, Auto)
	want := "CRC at byte 97: wrong CRC: field is 0000a57f, the data's CRC is 0000a57e"
	if got := packets[2]["error"]; got != want {
		t.Errorf("%v, expected %s", got, want)
	}
}

// TestAnswers: the answer and why, for everything that a server treats in its own way.
func TestAnswers(t *testing.T) {
	body := unhex(t, frame)[8:46]
	with := func(change func(b []byte) []byte) string {
		return fmt.Sprintf("%x", teltonika.AppendFrame(nil, change(bytes.Clone(body))))
	}
	tests := []struct{ name, input, answer, reason, problem string }{
		{"numbers differ", with(func(b []byte) []byte { b[len(b)-1] = 9; return b }), "00000001", "dead letter",
			"number of data 2 at byte 45"},
		{"record too long", with(func(b []byte) []byte { b[28] = 40; return b }), "00000001", "dead letter",
			"1-byte element 5 id at byte 45"},
		{"no records", with(func([]byte) []byte { return []byte{0x8e, 0, 0} }), "00000000", "no records", ""},
		{"Codec 7", with(func([]byte) []byte { return []byte{7, 1, 0, 0, 0, 0, 0, 1} }), "00000001", "1 record", ""},
		{"unknown codec", with(func(b []byte) []byte { b[0] = 0x61; return b }), "", "unknown codec", "0x61"},
		{"wrong CRC", badCRC, "", "sends again", "CRC at byte 46"},
		{"command", command, "", "not answered", ""},
		{"no command", with(func([]byte) []byte { return []byte{0x0c, 1, 1} }), "", "not answered",
			"message 1 type and size at byte 10"},
		{"too long", "0000000000100000080100", "", "MAX_FRAME_BYTES", "incomplete"},
		{"cut off", frame[:50], "", "cut off", "incomplete"},
		{"not a login", "0000000108000000", "", "closes", "preamble at byte 0"},
	}
	for _, tt := range tests {
		for p := range Line(tt.input, TCP) {
			checkAnnotations(t, unhex(t, tt.input), TCP)
			answer, reason := p.Answer()
			if fmt.Sprintf("%x", answer) != tt.answer || !strings.Contains(reason, tt.reason) {
				t.Errorf("%s: %x, %s", tt.name, answer, reason)
			}
			if p.OK() != (tt.problem == "") || !p.OK() && !strings.Contains(p.Err().Error(), tt.problem) {
				t.Errorf("%s: %v", tt.name, p.Err())
			}
		}
	}
}

// TestBigFrame: a frame above the service's usual limit is decoded all the same.
func TestBigFrame(t *testing.T) {
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: make([]teltonika.Record, 255)}
	for i := range data.Records {
		data.Records[i].AddBytes(10000, teltonika.GroupX, make([]byte, 0xFFFF))
	}
	packet, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(Packets(packet, Auto))
	if len(got) != 1 || !got[0].OK() {
		t.Fatalf("%d packets, %v", len(got), got[0].Err())
	}
	if answer, reason := got[0].Answer(); len(answer) != 4 || !strings.Contains(reason, "MAX_FRAME_BYTES") {
		t.Errorf("%x, %s", answer, reason)
	}
	checkAnnotations(t, packet[:100_000], Auto)
}

// TestBothProblems: records that do not decode in a frame with a wrong CRC are two problems.
func TestBothProblems(t *testing.T) {
	damaged := strings.Replace(frame, "0201ef01", "02ffef01", 1)
	for p := range Line(damaged, Auto) {
		err := p.Err().Error()
		if !strings.Contains(err, "wrong CRC") || !strings.Contains(err, "field runs past the data") {
			t.Error(err)
		}
	}
	checkAnnotations(t, unhex(t, damaged), Auto)
}
