package main

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// decodeDump is decodeLogin as xxd prints it, and the output of the program that is the same in hex.
const decodeDump = "00000000: 000f 3335 3230 3933 3038 3134 3532 3235  ..35209308145225\n" +
	"00000010: 31                                       1\n"

// TestDecodePasted: what is a guess is said as a comment, or beside the objects.
func TestDecodePasted(t *testing.T) {
	code, out, errOut := runDecode(t, decodeDump+decodeFrame+"\n")
	if code != exitOK || errOut != "" ||
		!strings.HasPrefix(out, "# line 1: taken for the output of xxd, without its columns") ||
		!strings.Contains(out, "line 1: TCP login 352093081452251, 17 bytes: ok\n") ||
		!strings.Contains(out, "\n\nline 3: TCP frame, Codec 8, 1 record, 50 bytes: ok\n") {
		t.Errorf("exit %d, %s\n%s", code, errOut, out)
	}
	code, out, errOut = runDecode(t, decodeDump, "--json")
	if code != exitOK || out != `{"ok":true,"transport":"tcp","kind":"login","imei":"352093081452251","ack":"01"}`+"\n" ||
		!strings.HasPrefix(errOut, "line 1: taken for the output of xxd") {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	for _, arg := range []string{"AA8zNTIwOTMwODE0NTIyNTE=", decodeDump, "b'\\x00\\x0f352093081452251'"} {
		if code, out, _ := runDecode(t, "", arg); code != exitOK || !strings.Contains(out, "TCP login 352093081452251") ||
			!strings.HasPrefix(out, "# ") {
			t.Errorf("%q: exit %d\n%s", arg, code, out)
		}
	}
}

// TestDecodeZerosBehind a frame: they are named, and no error.
func TestDecodeZerosBehind(t *testing.T) {
	for _, packet := range []string{decodeFrame, decodeLogin, decodeLogin + decodeFrame} {
		for _, zeros := range []int{1, 4, 8, 1000} {
			code, out, _ := runDecode(t, "", packet+strings.Repeat("00", zeros))
			if code != exitOK || !strings.Contains(out, "zeros behind the packet") {
				t.Errorf("%s and %d zeros: exit %d\n%.500s", packet, zeros, code, out)
			}
		}
	}
	for _, packet := range []string{"0000", strings.Repeat("00", 20), decodeFrame + "0001", decodeFrame + "000000000001"} {
		if code, out, _ := runDecode(t, "", packet); code != exitFailure {
			t.Errorf("%s: exit %d\n%s", packet, code, out)
		}
	}
}

// TestDecodeHints: what is written in the wrong way says so.
func TestDecodeHints(t *testing.T) {
	for arg, want := range map[string]string{
		decodeFrame[:8] + "0000004c" + decodeFrame[16:]: "# hint: the length 76 is that of the data field in hex digits",
		strings.TrimLeft(decodeFrame, "0"):              "# hint: a number has no leading zeros",
	} {
		if _, out, _ := runDecode(t, "", arg); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", arg, want, out)
		}
	}
}

// TestDecodeCapture reads a file of a sniffer, from standard input or by its name.
func TestDecodeCapture(t *testing.T) {
	packet := append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1,
		0x9d, 0x78, 0x13, 0xa3, 0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, 16, 0, 0, 0, 0, 0, 0}, fromHex(t, decodeLogin+decodeFrame)...)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = binary.LittleEndian.AppendUint32(append(file, make([]byte, 16)...), 101)
	file = binary.LittleEndian.AppendUint32(append(file, make([]byte, 8)...), uint32(len(packet)))
	file = append(binary.LittleEndian.AppendUint32(file, uint32(len(packet))), packet...)
	name := filepath.Join(t.TempDir(), "trackers.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, want, _ := runDecode(t, "", "--json", decodeLogin+decodeFrame)
	for _, input := range []struct {
		stdin string
		args  []string
	}{{string(file), []string{"--json"}}, {"", []string{"--json", name}}} {
		code, out, errOut := runDecode(t, input.stdin, input.args...)
		if code != exitOK || out != want ||
			!strings.Contains(errOut, "taken for pcap: a TCP stream from 198.51.100.7:40312 to 192.0.2.1:5027") {
			t.Errorf("%v: exit %d, %s\n got %s\nwant %s", input.args, code, errOut, out, want)
		}
	}
	if code, out, errOut := runDecode(t, string(file[:len(file)-1])); code != exitFailure ||
		!strings.Contains(errOut, "ends within a packet") {
		t.Errorf("cut off: exit %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := runDecode(t, string(file[:24])); code != exitFailure || !strings.Contains(errOut, "no packet") {
		t.Errorf("empty: exit %d, %s", code, errOut)
	}
}

func fromHex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecodeWidths: an element is not named by an id that the dictionary knows in other widths only.
func TestDecodeWidths(t *testing.T) {
	groups := map[teltonika.Group]bool{teltonika.Group1: false, teltonika.Group2: true, teltonika.Group4: false}
	for group, named := range groups {
		data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: make([]teltonika.Record, 1)}
		data.Records[0].AddNumber(66, group, 120) // external voltage, of two bytes
		packet, err := data.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, out, _ := runDecode(t, "", hex.EncodeToString(packet))
		if strings.Contains(out, "external.powersource.voltage") != named {
			t.Errorf("group %d:\n%s", group, out)
		}
	}
}
