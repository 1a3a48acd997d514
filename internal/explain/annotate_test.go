package explain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// checkAnnotations checks the packets of an input against each other, the input and the library's decode.
func checkAnnotations(t testing.TB, input []byte, transport Transport) {
	t.Helper()
	next := 0
	for p := range Packets(input, transport) {
		fields := annotations(p)
		for _, f := range fields {
			if f.Offset != next {
				t.Fatalf("%x: field %q at byte %d, expected at %d", input, f.Name, f.Offset, next)
			}
			if end := next + len(f.Raw); end > len(input) || !bytes.Equal(f.Raw, input[next:end]) {
				t.Fatalf("%x: field %q at byte %d is not what stands there", input, f.Name, f.Offset)
			}
			next += len(f.Raw)
		}
		if next != p.Offset+len(p.Raw) {
			t.Fatalf("%x: annotated up to byte %d, the packet ends at %d", input, next, p.Offset+len(p.Raw))
		}
		checkProblems(t, p, fields)
		if p.OK() && p.AVL != nil {
			checkRecords(t, p, fields)
		}
		if p.OK() && p.Messages != nil {
			checkMessages(t, p, fields)
		}
		checkText(t, p)
	}
	if next != len(input) {
		t.Fatalf("%x: packets up to byte %d of %d", input, next, len(input))
	}
}

// checkText checks that the text shows the packet's bytes, each once, in order and at its offset.
func checkText(t testing.TB, p *Packet) {
	t.Helper()
	var text bytes.Buffer
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	var shown []byte
	for line := range strings.Lines(text.String()) {
		offset, rest, _ := strings.Cut(line, "  ")
		n, err := strconv.Atoi(offset)
		if err != nil {
			continue
		}
		column, _, _ := strings.Cut(strings.TrimSpace(rest), "  ")
		row, err := hex.DecodeString(strings.ReplaceAll(column, " ", ""))
		if err != nil || n != p.Offset+len(shown) {
			t.Fatalf("%x: byte %d shown by %q", p.Raw, len(shown), line)
		}
		shown = append(shown, row...)
	}
	if !bytes.Equal(shown, p.Raw) {
		t.Fatalf("%x: shown %x in\n%s", p.Raw, shown, text.String())
	}
}

func annotations(p *Packet) []Field {
	var fields []Field
	p.Annotate(func(f Field) { fields = append(fields, f) })
	return fields
}

// checkProblems checks that each error of the library stands at one field, at its offset, and that the walker
// stops exactly where the library does.
func checkProblems(t testing.TB, p *Packet, fields []Field) {
	t.Helper()
	for _, problem := range p.problems {
		var e *teltonika.Error
		if !errors.As(problem, &e) || e.Err == teltonika.ErrIncomplete {
			continue
		}
		var at []Field
		for _, f := range fields {
			if f.Problem == problem.Error() {
				at = append(at, f)
			}
		}
		if len(at) != 1 || p.whole() && e.Err != teltonika.ErrCRC && at[0].Offset != e.Offset {
			t.Fatalf("%x: %v: marked at %+v", p.Raw, problem, at)
		}
	}
	if p.OK() {
		for _, f := range fields {
			if f.Problem != "" || f.Name == "not decoded" {
				t.Fatalf("%x: the packet is ok, but %+v", p.Raw, f)
			}
		}
	}
}

// checkRecords compares what the fields of the records say with the library's decode.
func checkRecords(t testing.TB, p *Packet, fields []Field) {
	t.Helper()
	records := sections(fields, "record ")
	if len(records) != len(p.AVL.Records) {
		t.Fatalf("%x: %d records annotated, expected %d", p.Raw, len(records), len(p.AVL.Records))
	}
	for i, fields := range records {
		r := &p.AVL.Records[i]
		want := map[string]string{
			"priority":   strconv.Itoa(int(r.Priority)),
			"longitude":  fmt.Sprintf("%.7f°", float64(r.Longitude)/1e7),
			"latitude":   fmt.Sprintf("%.7f°", float64(r.Latitude)/1e7),
			"altitude":   strconv.Itoa(int(r.Altitude)),
			"angle":      strconv.Itoa(int(r.Angle)) + "°",
			"satellites": strconv.Itoa(int(r.Satellites)),
			"speed":      strconv.Itoa(int(r.Speed)),
			"event id":   strconv.Itoa(int(r.EventID)),
		}
		if p.AVL.Codec == teltonika.Codec16 {
			want["generation type"] = strconv.Itoa(int(r.Generation))
		}
		want["total elements"] = strconv.Itoa(int(r.Total))
		if p.AVL.Codec == teltonika.Codec7 {
			want = wantOf7(r, want)
		}
		var elements []Field
		for _, f := range fields {
			if value, ok := want[f.Name]; ok && firstWord(f.Value) == value {
				delete(want, f.Name)
			}
			if f.Name == "timestamp" && !strings.Contains(f.Value, fmt.Sprint(r.Timestamp)) {
				t.Fatalf("%x: record %d: %+v, expected %d", p.Raw, i+1, f, r.Timestamp)
			}
			if f.Depth == 2 {
				elements = append(elements, f)
			}
		}
		if len(want) > 0 {
			t.Fatalf("%x: record %d: not annotated: %v", p.Raw, i+1, want)
		}
		checkElements(t, p, r, elements)
	}
}

// wantOf7 is what is wanted of a record of Codec 7.
func wantOf7(r *teltonika.Record, of map[string]string) map[string]string {
	want := map[string]string{}
	for field, names := range map[teltonika.Fields][]string{
		teltonika.FieldCoordinates: {"latitude", "longitude"}, teltonika.FieldAltitude: {"altitude"},
		teltonika.FieldAngle: {"angle"},
		teltonika.FieldSpeed: {"speed"}, teltonika.FieldSatellites: {"satellites"},
	} {
		for _, name := range names {
			if r.Has(field) {
				want[name] = of[name]
			}
		}
	}
	if r.Has(teltonika.FieldCell) {
		want["LAC"], want["CID"] = strconv.Itoa(int(r.LAC)), strconv.Itoa(int(r.CID))
	}
	if r.Has(teltonika.FieldSignal) {
		want["signal"] = strconv.Itoa(int(r.Signal))
	}
	if r.Has(teltonika.FieldOperator) {
		want["operator"] = strconv.Itoa(int(r.Operator))
	}
	return want
}

func checkElements(t testing.TB, p *Packet, r *teltonika.Record, fields []Field) {
	t.Helper()
	if len(fields) != len(r.Elements) {
		t.Fatalf("%x: %d elements annotated, expected %d", p.Raw, len(fields), len(r.Elements))
	}
	for j, e := range r.Elements {
		f := fields[j]
		if firstWord(f.Name) != strconv.Itoa(int(e.ID)) || !strings.HasSuffix(hex.EncodeToString(f.Raw), elementHex(r, e)) {
			t.Fatalf("%x: element %d: %+v, expected %+v", p.Raw, j+1, f, e)
		}
		if !e.Numeric() {
			continue
		}
		shift := 64 - 8*int(e.Size)
		signed := int64(e.Uint()<<shift) >> shift
		values := []string{fmt.Sprint(e.Uint()), fmt.Sprint(signed), "0x" + elementHex(r, e)}
		if !slices.Contains(values, strings.TrimRight(firstWord(f.Value), "%°")) {
			t.Fatalf("%x: element %d: %+v, expected one of %v", p.Raw, j+1, f, values)
		}
	}
}

func checkMessages(t testing.TB, p *Packet, fields []Field) {
	t.Helper()
	messages := sections(fields, "message ")
	if len(messages) != len(p.Messages.Messages) {
		t.Fatalf("%x: %d messages annotated, expected %d", p.Raw, len(messages), len(p.Messages.Messages))
	}
	for i, fields := range messages {
		m := p.Messages.Messages[i]
		for _, f := range fields {
			good := true
			switch f.Name {
			case "type":
				good = firstWord(f.Value) == fmt.Sprint(m.Type)
			case "size":
				good = firstWord(f.Value) == fmt.Sprint(m.Size)
			case "timestamp":
				good = strings.Contains(f.Value, fmt.Sprintf("(%d s)", m.Timestamp))
			case "IMEI":
				good = f.Value == m.IMEI
			case "payload":
				good = bytes.Equal(f.Raw, m.Payload)
			}
			if !good {
				t.Fatalf("%x: message %d: %+v, expected %+v", p.Raw, i+1, f, m)
			}
		}
	}
}

// sections are the fields behind each heading that begins with title.
func sections(fields []Field, title string) [][]Field {
	var all [][]Field
	for _, f := range fields {
		switch {
		case len(f.Raw) == 0 && strings.HasPrefix(f.Name, title):
			all = append(all, nil)
		case f.Depth == 0:
		default:
			all[len(all)-1] = append(all[len(all)-1], f)
		}
	}
	return all
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func TestAnnotateVectors(t *testing.T) {
	for _, v := range vectors(t) {
		input := unhex(t, v.Hex)
		for _, transport := range []Transport{Auto, TCP, UDP} {
			checkAnnotations(t, input, transport)
		}
	}
}

func TestAnnotateTraffic(t *testing.T) {
	for _, frame := range traffic(t) {
		checkAnnotations(t, unhex(t, frame), Auto)
	}
}

// TestAnnotatePrefixes cuts packets of every kind at every byte.
func TestAnnotatePrefixes(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors(t) {
		kind := fmt.Sprint(v.Transport, v.Kind, v.Codec, v.Records > 1)
		if seen[kind] || len(v.Hex) > 1000 {
			continue
		}
		seen[kind] = true
		input := unhex(t, v.Hex)
		for n := 1; n < len(input); n++ {
			transport := Auto
			if v.Transport == "udp" {
				transport = UDP
			}
			checkAnnotations(t, input[:n], transport)
			if v.Kind == "stream" {
				continue
			}
			for p := range Packets(input[:n], transport) {
				if p.OK() {
					t.Errorf("%s: its first %d bytes are ok", v.Name, n)
				}
			}
		}
	}
}

// TestAnnotateDamage gives every byte of packets of every kind other values; frames get a right CRC, so that the
// decoders see the damage.
func TestAnnotateDamage(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors(t) {
		kind := fmt.Sprint(v.Transport, v.Kind, v.Codec, v.Records > 1)
		if seen[kind] || len(v.Hex) > 400 {
			continue
		}
		seen[kind] = true
		input := unhex(t, v.Hex)
		for i := range input {
			for _, damage := range []byte{0x01, 0x80, 0xff} {
				damaged := bytes.Clone(input)
				damaged[i] ^= damage
				checkAnnotations(t, damaged, Auto)
				if frame, rest, err := teltonika.ParseFrame(damaged, 1<<20); err == nil && len(rest) == 0 {
					checkAnnotations(t, teltonika.AppendFrame(nil, frame.Body()), TCP)
				}
			}
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := ParseHex(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
