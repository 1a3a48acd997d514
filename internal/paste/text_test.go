package paste

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

const (
	login  = "000f333532303933303831343532323531"
	frame  = "000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000010000a57e"
	record = "0000018bcfe56800000f116048209892f00078005a0c003c000201ef01014230390000" // of frame
)

func bytesOf(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// apart is hex with something before each byte and behind it.
func apart(digits, before, behind string) string {
	var b strings.Builder
	for i := 0; i+1 < len(digits); i += 2 {
		b.WriteString(before + digits[i:i+2] + behind)
	}
	return b.String()
}

// numbered is hex as numbers with a separator.
func numbered(t testing.TB, digits, format, separator string) string {
	var all []string
	for _, c := range bytesOf(t, digits) {
		all = append(all, fmt.Sprintf(format, c))
	}
	return strings.Join(all, separator)
}

// read is what lines hold.
func read(text string) (all []Piece) {
	var r Reader
	for line := range strings.Lines(text) {
		all = append(all, r.Add(line)...)
	}
	return append(all, r.Flush()...)
}

// pasted are the forms of one frame: what they are, and what is said of them, nothing where there is nothing to guess.
func pasted(t testing.TB) map[string][2]string {
	const quote = "`"
	return map[string][2]string{
		"hex":                   {frame, ""},
		"hex with spaces":       {apart(frame, "", " "), ""},
		"hex in words":          {"00000000 00000026 0801 0000018bcfe56800 " + frame[36:], ""},
		"hex with colons":       {strings.Trim(apart(frame, "", ":"), ":"), ""},
		"hex with dashes":       {strings.Trim(apart(frame, "", "-"), "-"), ""},
		"hex with commas":       {strings.Trim(apart(frame, "", ", "), ", "), ""},
		"hex with 0x":           {"0x" + frame, ""},
		"hex with 0x each":      {apart(frame, "0x", ", "), ""},
		`hex with \x`:           {apart(frame, `\x`, ""), ""},
		`hex with \x in quotes`: {`"` + apart(frame, `\x`, "") + `"`, ""},
		"quotes":                {`"` + frame + `"`, ""},
		"single quotes":         {"'" + frame + "'", ""},
		"back quotes":           {quote + frame + quote, ""},
		"upper case":            {strings.ToUpper(apart(frame, "", "-")), ""},
		"Node's Buffer":         {"<Buffer " + strings.TrimSpace(apart(frame, "", " ")) + ">", "Buffer"},
		"Node's Buffer in JSON": {`{"type":"Buffer","data":[` + numbered(t, frame, "%d", ",") + `]}`, "numbers"},
		"Node's Buffer.from":    {"Buffer.from('" + frame + "', 'hex')", ""},
		"base64":                {"AAAAAAAAACYIAQAAAYvP5WgAAA8RYEggmJLwAHgAWgwAPAACAe8BAUIwOQAAAQAApX4=", "base64"},
		"base64 for URLs":       {"AAAAAAAAACYIAQAAAYvP5WgAAA8RYEggmJLwAHgAWgwAPAACAe8BAUIwOQAAAQAApX4", "base64"},
		"a record":              {record, "one record of Codec 8; header"},
		"a record in base64":    {"AAABi8/laAAADxFgSCCYkvAAeABaDAA8AAIB7wEBQjA5AAA=", "base64, one record of Codec 8"},
		"a data field":          {frame[16 : len(frame)-8], "a data field"},
		"a record of ours": {`{"device_id":"356307042441013","codec":"8",` +
			`"raw":"AAABi8/laAAADxFgSCCYkvAAeABaDAA8AAIB7wEBQjA5AAA="}`,
			`"raw" of a JSON object, one record of Codec 8`},
		"Python, repr": {`b'\x00\x00\x00\x00\x00\x00\x00&\x08\x01\x00\x00\x01\x8b\xcf\xe5h\x00\x00\x0f\x11` + quote +
			`H \x98\x92\xf0\x00x\x00Z\x0c\x00<\x00\x02\x01\xef\x01\x01B09\x00\x00\x01\x00\x00\xa5~'`, `\x in it`},
		"Python, fromhex": {"data = bytes.fromhex('" + frame + "')", ""},
		"Python, list":    {"bytes([" + numbered(t, frame, "%d", ", ") + "])", "numbers"},
		"Python, lines": {"bytes([\n  " + numbered(t, frame[:40], "0x%02x", ", ") + ",\n  " +
			numbered(t, frame[40:], "0x%02x", ", ") + ",\n])", "numbers"},
		"Python, two literals": {"(b'" + apart(frame[:20], `\x`, "") + "'\n b'" + apart(frame[20:], `\x`, "") + "')",
			`\x in it`},
		"Go, hex":     {"[]byte{" + numbered(t, frame, "0x%x", ", ") + "}", "numbers"},
		"Go, decimal": {"packet := []byte{" + numbered(t, frame, "%d", ", ") + "}", "numbers"},
		"Go, %v":      {"[" + numbered(t, frame, "%d", " ") + "]", "numbers"},
		"Go, string":  {`[]byte("` + apart(frame, `\x`, "") + `")`, `\x in it`},
		"Go, lines": {"[]byte{\n\t" + numbered(t, frame[:32], "0x%02x", ", ") + ",\n\t" +
			numbered(t, frame[32:], "0x%02x", ", ") + ",\n}", "numbers"},
		"Traccar's log": {"2026-11-22 11:00:00  INFO: [T1a2b3c4d: teltonika < 198.51.100.7] " + frame, "Traccar's log, from"},
		"Traccar's old log": {"2019-06-10 10:04:46 DEBUG: [5D1A7F3C: 5027 < 198.51.100.7] HEX: " + frame,
			"Traccar's log, from"},
		"our log": {`{"time":"2026-11-22T11:00:00.123Z","level":"WARN","msg":"login malformed","remote":"198.51.100.7:4",` +
			`"first":"` + frame + `","error":"x"}`, `"first" of a JSON object`},
		"our log as text": {`time=2026-11-22T11:00:00.123Z level=WARN msg="login malformed" remote=198.51.100.7:4 first=` +
			frame + ` error=x`, "first of a line"},
		"a dead letter of ours": {`{"ts":"2026-11-22T11:00:00.000Z","device_id":"356307042441013","reason":"malformed",` +
			`"codec":"8","frame":"` + frame + `","transport":"tcp"}`, `"frame" of a JSON object`},
		"xxd -p": {frame[:60] + "\n" + frame[60:], ""},
		"xxd -i": {"unsigned char packet_bin[] = {\n  " + numbered(t, frame[:24], "0x%02x", ", ") + ",\n  " +
			numbered(t, frame[24:], "0x%02x", ", ") + "\n};\nunsigned int packet_bin_len = 47;", "numbers"},
		"od -t x1":           {odOf(t, frame, "%07o"), "od -t x1"},
		"od -A x -t x1":      {odOf(t, frame, "%06x"), "od -t x1"},
		"CSV":                {`2026-11-22T11:00:00Z,356307042441013,17,"` + frame + `",20261122110000`, "field 4"},
		"CSV with base64":    {"1;356307042441013;" + frame + ";AAAA", "field 3"},
		"a table":            {"| 1 | 356307042441013 | 0x" + frame + " |", "field 4"},
		"words around it":    {"the device sent " + frame + " at 10:00", "column 17"},
		"single digits":      {numbered(t, frame, "%x", " "), "no leading zero"},
		"a number":           {strings.TrimLeft(frame, "0"), "without its 14 leading zeros"},
		"a number with 0x":   {"0x" + strings.TrimLeft(frame, "0"), "without its 14 leading zeros"},
		"hexdump -C":         {dumpOf(t, frame, "%08x  ", true), "hexdump -C"},
		"hexdump -C, alone":  {dumpOf(t, frame, "%08x  ", false), "hexdump -C"},
		"Wireshark":          {dumpOf(t, frame, "%04x   ", false), "hexdump -C"},
		"xxd":                {xxdOf(t, frame, "%08x: "), "xxd"},
		"tcpdump -X, inside": {xxdOf(t, frame, "\t0x%04x:  "), "tcpdump -X"},
	}
}

// TestPasted: each form is the same frame, and what is a guess is said.
func TestPasted(t *testing.T) {
	for name, form := range pasted(t) {
		found := read(form[0])
		if len(found) != 1 {
			t.Errorf("%s: %d pieces: %+v", name, len(found), found)
			continue
		}
		p := found[0]
		if got := hex.EncodeToString(p.Bytes); got != frame {
			t.Errorf("%s: %s, %q", name, got, p.Took)
		}
		if (p.Took == "") != (form[1] == "") || !strings.Contains(p.Took, form[1]) {
			t.Errorf("%s: taken for %q, want %q", name, p.Took, form[1])
		}
		if p.Line != 1 {
			t.Errorf("%s: line %d", name, p.Line)
		}
	}
}

// TestPastedLogins: a login has text in it, which is easily taken for something else.
func TestPastedLogins(t *testing.T) {
	for _, text := range []string{
		login, apart(login, "", " "), `\x00\x0f352093081452251`, `"\x00\x0f352093081452251"`, `b'\x00\x0f352093081452251'`,
		"AA8zNTIwOTMwODE0NTIyNTE=", strings.TrimLeft(login, "0"), "<Buffer " + strings.TrimSpace(apart(login, "", " ")) + ">",
		dumpOf(t, login, "%08x  ", true), xxdOf(t, login, "%08x: "),
	} {
		if found := read(text); len(found) != 1 || hex.EncodeToString(found[0].Bytes) != login {
			t.Errorf("%s: %+v", text, found)
		}
	}
}

// TestNothingIsGuessed where hex is what it says, or where nothing makes sense.
func TestNothingIsGuessed(t *testing.T) {
	broken := frame[:len(frame)-2] + "00"
	for text, want := range map[string]string{
		broken: broken, frame[:40]: frame[:40], "00": "00", "ff": "ff", "cafe": "cafe",
		"deadbeefdeadbeef": "deadbeefdeadbeef",
		"xyz":              "", "": "", "hello world": "", "2026-11-22 11:00:00 INFO started": "", "[1, 2, 300]": "",
		`{"a":1}`: "", "0g0f3335": "", "the answer is deadbeef00": "", "help": "",
	} {
		p := Text(text)
		if got := hex.EncodeToString(p.Bytes); got != want || p.Took != "" {
			t.Errorf("%q: %q, taken for %q", text, got, p.Took)
		}
	}
}

func TestHints(t *testing.T) {
	for _, c := range [][2]string{
		{"000000000000004c" + frame[16:], "76 is that of the data field in hex digits; in bytes it is 38"},
		{"001e" + login[4:], "30 is that of the IMEI in hex digits; in bytes it is 15"},
		{numbered(t, frame, "%x", " "), "bytes are written with one digit"},
		{strings.TrimLeft(frame, "0"), "a number has no leading zeros"},
		{"<Buffer 00 0f 33 ... 14 more bytes>", "14 more bytes are not printed"},
		{frame, ""}, {login, ""}, {frame[:40], ""}, {login[:20], ""},
	} {
		if p := Text(c[0]); !strings.Contains(p.Hint, c[1]) || c[1] == "" && p.Hint != "" {
			t.Errorf("%s: %q", c[0], p.Hint)
		}
	}
}

// TestSingleDigitsAreJoined where that is what makes sense, as it always was.
func TestSingleDigitsAreJoined(t *testing.T) {
	spaced := strings.Join(strings.Split(frame, ""), " ")
	if p := Text(spaced); hex.EncodeToString(p.Bytes) != frame || p.Took != "" {
		t.Errorf("%x, taken for %q", p.Bytes, p.Took)
	}
}

// TestLinesWithoutPackets of logs and tables are no errors.
func TestLinesWithoutPackets(t *testing.T) {
	found := read("time,imei,packet\n1,356307042441013," + frame + "\n" +
		"2026-11-22 11:00:00  INFO: [T1a2b3c4d] connected\n" +
		"2026-11-22 11:00:00  INFO: [T1a2b3c4d: teltonika > 198.51.100.7] 01\n" +
		"2026-11-22 11:00:01  INFO: [T1a2b3c4d: teltonika > 198.51.100.7] " + frame + "\n" +
		`{"time":"2026-11-22T11:00:00.123Z","level":"INFO","msg":"ready"}` + "\n" +
		`time=2026-11-22T11:00:00.123Z level=INFO msg=ready` + "\nnonsense\ntime,imei,packet\n")
	var skipped []bool
	for _, p := range found {
		if skipped = append(skipped, p.Skipped); p.Skipped && p.Took == "" {
			t.Errorf("%q is left out and not said", p.Text)
		}
	}
	if want := []bool{true, false, true, true, false, true, true, false, false}; !slices.Equal(skipped, want) {
		t.Errorf("left out %v, want %v", skipped, want)
	}
}

// TestWrappedBase64 is one packet, as the program base64 prints it.
func TestWrappedBase64(t *testing.T) {
	long := strings.Repeat(frame, 4)
	text := base64.StdEncoding.EncodeToString(bytesOf(t, long))
	for _, columns := range []int{64, 76} {
		var lines []string
		for part := range slices.Chunk([]byte(text), columns) {
			lines = append(lines, string(part))
		}
		found := read(strings.Join(lines, "\n") + "\n\n" + login)
		if len(found) != 2 || hex.EncodeToString(found[0].Bytes) != long || found[0].Line != 1 ||
			found[1].Line != len(lines)+2 {
			t.Errorf("%d columns: %+v", columns, found)
		}
	}
	whole := base64.StdEncoding.EncodeToString(bytesOf(t, frame+strings.Repeat("00", 7))) // just a line
	if found := read(whole + "\n" + login + "\n"); len(found) != 2 || hex.EncodeToString(found[1].Bytes) != login ||
		!strings.HasPrefix(hex.EncodeToString(found[0].Bytes), frame) || found[1].Line != 2 {
		t.Errorf("%+v", found)
	}
}

// TestHexThatIsNotWrapped: a line of 60 digits whose packet is not good leaves the next one alone.
func TestHexThatIsNotWrapped(t *testing.T) {
	found := read(frame[:60] + "\n" + login + "\n")
	if len(found) != 2 || hex.EncodeToString(found[0].Bytes) != frame[:60] ||
		hex.EncodeToString(found[1].Bytes) != login || found[1].Line != 2 {
		t.Errorf("%+v", found)
	}
}

// TestTraccarSaysTheTransport, which the bytes may not.
func TestTraccarSaysTheTransport(t *testing.T) {
	for letter, want := range map[string]explain.Transport{"T": explain.TCP, "U": explain.UDP, "": ""} {
		if p := Text("INFO: [" + letter + "1a2b3c4d: teltonika < 198.51.100.7] " + frame); p.Transport != want {
			t.Errorf("%q: %q", letter, p.Transport)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, form := range pasted(f) {
		f.Add(form[0])
	}
	f.Fuzz(func(t *testing.T, text string) {
		total := 0
		for _, p := range read(text) {
			total += len(p.Bytes)
		}
		if total > 20*len(text)+MaxInput/1024 {
			t.Errorf("%d bytes of %d", total, len(text))
		}
	})
}
