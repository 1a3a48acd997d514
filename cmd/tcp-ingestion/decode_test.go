package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	decodeLogin  = "000f333532303933303831343532323531"
	decodeFrame  = "000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000010000a57e"
	decodeBadCRC = "000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000010000a57f"
)

// runDecode runs `tcp-ingestion decode` and returns its exit code and output.
func runDecode(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"tcp-ingestion", "decode"}, args...), strings.NewReader(stdin), &stdout,
		&stderr)
	return code, stdout.String(), stderr.String()
}

func TestDecodeExitCodes(t *testing.T) {
	tests := []struct {
		name, stdin string
		args        []string
		code        int
	}{
		{"good", "", []string{decodeLogin, decodeFrame}, exitOK},
		{"bad among good", "", []string{decodeLogin, decodeBadCRC, decodeFrame}, exitFailure},
		{"bad in a stream", "", []string{decodeFrame + decodeBadCRC + decodeFrame}, exitFailure},
		{"not hex", "", []string{"xyz"}, exitFailure},
		{"empty argument", "", []string{""}, exitFailure},
		{"help is not a command here", "", []string{"help"}, exitFailure},
		{"good lines", decodeLogin + "\n" + decodeFrame + "\n", nil, exitOK},
		{"bad last line without an end", decodeLogin + "\n" + decodeBadCRC, nil, exitFailure},
		{"bad first line", "zz\n" + decodeLogin, nil, exitFailure},
		{"nothing", "", nil, exitOK},
		{"comments and blank lines", "# captured today\n\n   \n  # again\r\n\t\n", nil, exitOK},
		{"as the wrong transport", "", []string{"--transport", "udp", decodeFrame}, exitFailure},
		{"as the right transport", "", []string{"--transport=tcp", decodeFrame}, exitOK},
		{"unknown transport", "", []string{"--transport", "sctp", decodeFrame}, exitUsage},
		{"empty transport", "", []string{"--transport", "", decodeFrame}, exitUsage},
		{"family and model", "", []string{"--family", "FMX6", "--model", "fmb640", decodeFrame}, exitOK},
		{"unknown family", "", []string{"--family", "fmz", decodeFrame}, exitUsage},
		{"empty family", "", []string{"--family=", decodeFrame}, exitUsage},
		{"a model of no known family", "", []string{"--model", "XY1", decodeFrame}, exitUsage},
		{"a model of no known family, with it", "", []string{"--model", "XY1", "--family", "ft", decodeFrame}, exitOK},
		{"a model of another family", "", []string{"--model", "FMB640", "--family", "ft", decodeFrame}, exitUsage},
		{"a model that is no name", "", []string{"--model", "FMB 120", decodeFrame}, exitUsage},
		{"empty model", "", []string{"--model=", decodeFrame}, exitUsage},
		{"unknown flag", "", []string{"--xml", decodeFrame}, exitUsage},
	}
	for _, tt := range tests {
		for _, format := range [][]string{nil, {"--json"}} {
			code, out, errOut := runDecode(t, tt.stdin, append(format, tt.args...)...)
			if code != tt.code {
				t.Errorf("%s %v: exit %d, expected %d\n%s%s", tt.name, format, code, tt.code, out, errOut)
			}
			if (errOut != "") != (tt.code == exitUsage) {
				t.Errorf("%s %v: on stderr %q", tt.name, format, errOut)
			}
		}
	}
}

// TestDecodeJSON: one object a packet, in input order, one a line.
func TestDecodeJSON(t *testing.T) {
	meant := `,"meaning":{"device":{"family":"fmb","by":"elements","candidates":` +
		`["fmb","fmx6","tat","ft","fm63","fm36","fm11"]},"dict":"` + meaning.Embedded().Version() + `","records":[` +
		`{"signals":{"engine.ignition.status":true,"external.powersource.voltage":12.345}}]}}`
	input := "# a capture\nff" + decodeLogin + decodeFrame + "\n\n0x00:0F\tgg\r\n" + decodeBadCRC
	code, out, _ := runDecode(t, input, "--json")
	want := []string{
		`{"ok":true,"transport":"tcp","kind":"keepalive"}`,
		`{"ok":true,"transport":"tcp","kind":"login","imei":"352093081452251","ack":"01"}`,
		`{"ok":true,"transport":"tcp","codec":"8","crc_ok":true,"count":1,"ack":"00000001","records":[{` +
			`"timestamp_ms":1700000000000,"priority":0,"lon_1e7":252797000,"lat_1e7":546870000,"altitude":120,"angle":90,` +
			`"satellites":12,"speed":60,"event_id":0,"generation_type":null,"io":[[239,1,"01"],[66,2,"3039"]]}]` + meant,
		`{"ok":false,"error":"hex at character 9: \"g\" is not a hex digit","transport":null}`,
		`{"ok":false,"error":"CRC at byte 46: wrong CRC: field is 0000a57f, the data's CRC is 0000a57e","transport":"tcp",` +
			`"codec":"8","crc_ok":false,"count":1,"ack":null,"records":[{"timestamp_ms":1700000000000,"priority":0,` +
			`"lon_1e7":252797000,"lat_1e7":546870000,"altitude":120,"angle":90,"satellites":12,"speed":60,` +
			`"event_id":0,"generation_type":null,"io":[[239,1,"01"],[66,2,"3039"]]}]` + meant,
	}
	if got := strings.TrimSuffix(out, "\n"); code != exitFailure || got != strings.Join(want, "\n") {
		t.Errorf("exit %d\n got %s\nwant %s", code, got, strings.Join(want, "\n"))
	}
}

// TestDecodeFamily: what depends on the family is read by the one that is given, and else listed for each.
func TestDecodeFamily(t *testing.T) {
	// 25 is a Bluetooth sensor's temperature or the engine's.
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: make([]teltonika.Record, 1)}
	data.Records[0].AddNumber(25, teltonika.Group2, 1825)
	packet, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := hex.EncodeToString(packet)
	for _, tt := range []struct {
		args []string
		says []string
	}{
		{nil, []string{"25 (depends on the family)", "ble.sensor.temperature.1", "can.engine.temperature", "18.25 °C",
			"182.5 °C", "family: fmb, "}},
		{[]string{"--family", "fmb"}, []string{"25 ble.sensor.temperature.1 = 1825 (18.25 °C)", "family: fmb; "}},
		{[]string{"--model", "fmb640"}, []string{"25 can.engine.temperature = 1825 (182.5 °C)", "family: fmx6, FMB640; "}},
	} {
		_, out, errOut := runDecode(t, "", append(tt.args, frame)...)
		for _, text := range tt.says {
			if !strings.Contains(out, text) {
				t.Errorf("%v does not say %q:\n%s%s", tt.args, text, out, errOut)
			}
		}
	}
}

// TestDecodeOverrides: own definitions are used, from the flag or the variable, and a broken file is told.
func TestDecodeOverrides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("*\t66\t2\town.voltage\tnumber\t\t0.1\t\tV\n")
	if _, out, errOut := runDecode(t, "", "--dictionary-overrides", path, decodeFrame); !strings.Contains(out,
		"66 own.voltage = 12345 (1234.5 V)") {
		t.Errorf("%s%s", out, errOut)
	}
	t.Setenv("DICTIONARY_OVERRIDES", path)
	if _, out, errOut := runDecode(t, "", decodeFrame); !strings.Contains(out, "66 own.voltage") {
		t.Errorf("%s%s", out, errOut)
	}
	write("*\tq\n")
	if code, _, errOut := runDecode(t, "", decodeFrame); code != exitSettings || !strings.Contains(errOut, "column id") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestDecodeText: packets are told apart by their line or argument, and by a blank line.
func TestDecodeText(t *testing.T) {
	_, fromArgs, _ := runDecode(t, "", "ff", decodeLogin)
	_, fromLines, _ := runDecode(t, "#\nff\n"+decodeLogin+"\n")
	for out, labels := range map[string][]string{
		fromArgs:  {"argument 1: TCP keep-alive", "\n\nargument 2: TCP login"},
		fromLines: {"line 2: TCP keep-alive", "\n\nline 3: TCP login"},
	} {
		if !strings.HasPrefix(out, labels[0]) || strings.Count(out, labels[1]) != 1 {
			t.Errorf("expected %q in\n%s", labels, out)
		}
	}
	if _, out, _ := runDecode(t, "", decodeLogin); !strings.HasPrefix(out, "TCP login 352093081452251, 17 bytes: ok\n") {
		t.Errorf("a single argument needs no label:\n%s", out)
	}
}

// TestDecodeLongLines: a line of megabytes, and one argument of a stream as long.
func TestDecodeLongLines(t *testing.T) {
	const frames = 40_000
	stream := strings.Repeat(decodeFrame, frames)
	check := func(name string, code int, out string) {
		t.Helper()
		if n := strings.Count(out, "\n"); code != exitOK || n != frames || strings.Count(out, `"ack":"00000001"`) != frames {
			t.Errorf("%s: exit %d, %d objects, expected %d", name, code, n, frames)
		}
	}
	code, out, _ := runDecode(t, stream, "--json")
	check("line", code, out)
	code, out, _ = runDecode(t, "", "--json", stream)
	check("argument", code, out)
}

// TestDecodeStreams: the answer to a line comes before the next line is there.
func TestDecodeStreams(t *testing.T) {
	stdin, lines := io.Pipe()
	objects, stdout := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(t.Context(), []string{"tcp-ingestion", "decode", "--json"}, stdin, stdout, io.Discard)
		stdout.Close()
	}()
	answers := bufio.NewReader(objects)
	for _, line := range []string{decodeLogin, decodeFrame, "ff"} {
		if _, err := io.WriteString(lines, line+"\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var object struct{ OK bool }
		if err := json.Unmarshal(answer, &object); err != nil || !object.OK {
			t.Errorf("%s: %v in %s", line, err, answer)
		}
	}
	lines.Close()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestDecodeOutputGone: an output that cannot be written is a failure that is told.
func TestDecodeOutputGone(t *testing.T) {
	objects, stdout := io.Pipe()
	objects.Close()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"tcp-ingestion", "decode", "ff"}, strings.NewReader(""), stdout, &stderr)
	if code != exitFailure || stderr.Len() == 0 {
		t.Errorf("exit %d, on stderr %q", code, stderr.String())
	}
}

// TestDecodeWaitsOnATerminal: whoever forgot the packet is told what is waited for; a program is not.
func TestDecodeWaitsOnATerminal(t *testing.T) {
	t.Parallel()
	screen, shown := openScreen(t)
	cmd := program(t, nil, "decode")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "decode says what it waits for", func() bool {
		return strings.Contains(shown.String(), "waiting for packets in hex, one a line; Ctrl-D ends")
	})
	cmd.Process.Kill()
	cmd.Wait()
	if _, _, errOut := execute(t, nil, "FF\n", "decode"); errOut != "" {
		t.Errorf("a program is told %q", errOut)
	}
}
