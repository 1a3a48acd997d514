package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// hostileAnswer overwrites a line, clears the screen, takes back characters, turns the direction of writing, and has
// C1 controls. The rest of it is long enough for text.
const hostileAnswer = "DOUT1:1 Timeout:0\rDOUT1:0 and \x1b[2J screen, \b\b\b back, \u202e turned, \u009b2J, " +
	"and so on until it is text\r\nsecond line"

// wantHarmless fails if a text would do anything to a terminal.
func wantHarmless(t *testing.T, what, text string) {
	t.Helper()
	for i, c := range text {
		invalid := c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
		if invalid || !unicode.IsPrint(c) && c != '\n' && c != '\t' {
			t.Errorf("%s has %q at %d: %q", what, c, i, text)
			return
		}
	}
}

// TestHostileAnswer: a device's answer does nothing to the terminal of whoever asked, and is not lost for that.
func TestHostileAnswer(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL": "debug"})
	d := s.connect(oneIMEI)
	d.SendFrame(teltonika.Codec8, teltonika.Record{Timestamp: 1, Satellites: 5})
	d.ExpectACK(1)
	settings := map[string]string{"ADMIN_ADDRESS": s.admin}
	go func() { d.Answer(d.ReadCommand(), hostileAnswer) }()
	code, out, errOut := execute(t, settings, "", "send", "--id", "hostile", oneIMEI, "getver")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	wantHarmless(t, "send", out)
	const begin, end = `DOUT1:1 Timeout:0\rDOUT1:0 and `, "text\nsecond line\n"
	if !strings.HasPrefix(out, begin) || !strings.HasSuffix(out, end) {
		t.Errorf("send prints %q", out)
	}
	_, out, _ = execute(t, settings, "", "send", "--id", "hostile", "--json", oneIMEI, "getver")
	wantHarmless(t, "send --json", out)
	var e admin.Entry
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantHarmless(t, "the response", strings.ReplaceAll(*e.Response, "\r", ""))
	if want := hex.EncodeToString([]byte(hostileAnswer)); e.ResponseHex != want {
		t.Errorf("response_hex is %s, want %s", e.ResponseHex, want)
	}
	_, out, _ = execute(t, settings, "", "devices")
	wantHarmless(t, "devices", out)
	wantHarmless(t, "the log", s.tail(1000))
}

// TestHostileEverywhere has a device and a stranger say it in everything they control, and looks at it by every command
// that shows some of that.
func TestHostileEverywhere(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;t\a\r\b\u202e\u009b2J\x9b"
	settings := map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL": "debug", "UDP_PORT": "0"}
	s := startServer(t, settings)
	for _, first := range []string{
		"GET /" + evil + "?id=" + aDevice(1) + " HTTP/1.1\r\n\r\n", "\x00\x21" + aDevice(2) + evil, evil,
	} {
		stranger := testkit.Dial(t, s.devices)
		stranger.Send([]byte(first))
		stranger.ExpectClosed()
		http := testkit.Dial(t, s.http)
		http.Send([]byte(evil))
		http.Close()
	}
	d := s.connect(oneIMEI)
	r := teltonika.Record{Timestamp: uint64(time.Now().UnixMilli()), Satellites: 5}
	r.AddBytes(256, teltonika.GroupX, []byte(evil)) // the VIN
	d.SendFrame(teltonika.Codec8E, r)
	d.ExpectACK(1)
	message := teltonika.Messages{Codec: teltonika.Codec12,
		Messages: []teltonika.Message{{Type: teltonika.TypeResponse, Payload: []byte(evil)}}}
	frame, err := message.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Send(frame)
	d.Send(teltonika.AppendFrame(nil, append([]byte{8, 1}, evil...))) // becomes a dead letter
	d.ExpectACK(1)

	asking := map[string]string{"ADMIN_ADDRESS": s.admin, "DATA_DIR": settings["DATA_DIR"]}
	shown := func(wants string, args ...string) {
		t.Helper()
		_, out, errOut := execute(t, asking, "", args...)
		wantHarmless(t, strings.Join(args, " "), out+errOut)
		if !strings.Contains(out, wants) {
			t.Errorf("%v does not show %q: %s%s", args, wants, out, errOut)
		}
	}
	go func() { d.Answer(d.ReadCommand(), "Ver:03.25.14_00 Hw:FMB"+evil+" IMEI:"+oneIMEI) }()
	shown("Ver:03.25.14_00", "send", "--id", "hostile", oneIMEI, "getver")
	shown("Hw:FMB", "commands", "show", "hostile")
	shown("hostile", "commands", "list")
	for _, json := range [][]string{nil, {"--json"}} {
		with := func(args ...string) []string { return append(args, json...) }
		shown(oneIMEI, with("devices", "--all")...)
		shown("dead_letters", with("why", oneIMEI)...)
		shown("foreign_protocol", with("why", aDevice(1))...)
		shown("malformed_login", with("why", aDevice(2))...)
		shown(aDevice(2), with("why", "--all")...)
		shown("malformed", with("deadletters", "list")...)
	}
	shown("malformed", "deadletters", "show", "1")
	shown("vehicle.vin", "tail", "--from-start", "--count", "2")
	shown("vehicle.vin", "tail", "--from-start", "--count", "2", "--names")
	shown(hex.EncodeToString([]byte(evil)), "tail", "--from-start", "--count", "1", "--messages")
	for _, message := range []string{"no http on the http port", "login malformed", "frame cannot be decoded"} {
		s.wantLogged(message)
	}
	wantHarmless(t, "the log", s.tail(1000))
}

// TestHostilePacketsAreExplained has the same text in packets that people look at.
func TestHostilePacketsAreExplained(t *testing.T) {
	m := teltonika.Message{Type: teltonika.TypeResponse, Payload: []byte(hostileAnswer)}
	packet := teltonika.Messages{Codec: teltonika.Codec12, Messages: []teltonika.Message{m}}
	frame, err := packet.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"decode"}, {"decode", "--json"}} {
		_, out, _ := execute(t, nil, hex.EncodeToString(frame), args...)
		wantHarmless(t, strings.Join(args, " "), out)
	}
}

// TestHostileServer is one that is not ours.
func TestHostileServer(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<html>\r\n\x1b[2J\u202e"+strings.Repeat("x", 300))
	}))
	defer foreign.Close()
	address := foreign.Listener.Addr().String()
	for _, args := range [][]string{
		{"devices"}, {"tap"}, {"send", oneIMEI, "getver"}, {"healthcheck", "--url", "http://" + address},
	} {
		code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": address}, "", args...)
		if code != 1 || strings.Count(errOut, "\n") != 1 || len(errOut) > 1000 {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
		wantHarmless(t, args[0], out+errOut)
	}
}

// TestHostileLog writes it in both formats, by the way of every logger.
func TestHostileLog(t *testing.T) {
	for _, text := range []bool{false, true} {
		var b bytes.Buffer
		logging.New(terminal.NewWriter(&b), slog.LevelInfo, text).Info("device said", "text", hostileAnswer)
		wantHarmless(t, "the log", b.String())
		if strings.Count(b.String(), "\n") != 1 {
			t.Errorf("more than a line: %q", b.String())
		}
	}
	var out, errOut bytes.Buffer
	run(context.Background(), []string{"tcp-ingestion", hostileAnswer}, strings.NewReader(""), &out, &errOut)
	wantHarmless(t, "an unknown command", out.String()+errOut.String())
}
