package paste

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxCandidates is how many places of a line are looked at.
const maxCandidates = 16

// traccar is a line of its log: who it is, the direction, and the packet.
var traccar = regexp.MustCompile(`\[([TU]?)[^\]<>]*([<>])[^\]]*\]\s*(?:HEX:\s*)?([0-9a-fA-F]+)\s*$`)

// inLog is the packet in a line of Traccar's log.
func inLog(text string) []Piece {
	m := traccar.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	b, err := explain.ParseHex(m[3])
	if err != nil {
		return nil
	}
	p := Piece{Bytes: b, Took: "a line of Traccar's log, from the device", sure: true}
	if p.Transport = map[string]explain.Transport{"T": explain.TCP, "U": explain.UDP}[m[1]]; m[2] == ">" {
		p.Took = "a line of Traccar's log, to the device"
		p.Skipped = sense(b, p.Transport) < some // an answer; a command is a packet
	}
	return []Piece{p}
}

// logLine is a line of Traccar's log, or of this service's as text.
var logLine = regexp.MustCompile(
	`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\s+(TRACE|DEBUG|INFO|WARN|ERROR|SEVERE):? |^time=\S+ level=\w+ msg=`)

// isLog reports whether a text is a line of a log.
func isLog(text string) bool {
	if logLine.MatchString(text) {
		return true
	}
	var object struct {
		Level   *string `json:"level"`
		Message *string `json:"msg"`
	}
	return json.Unmarshal([]byte(text), &object) == nil && object.Level != nil && object.Message != nil
}

// headLine is the first line of a table: names and no numbers.
var headLine = regexp.MustCompile(`^[A-Za-z_ "'.-]+([,;\t|][A-Za-z_ "'.-]*)+$`)

// members are those that hold packets in what this service writes: its log, records, dead letters and taps.
var members = []string{"raw", "frame", "hex", "first", "payload", "data"}

// inJSON is the packet in an object of this service, or of another program that names it so.
func inJSON(text string) (found []Piece) {
	start := strings.IndexByte(text, '{')
	var object map[string]json.RawMessage
	if start < 0 || json.Unmarshal([]byte(text[start:]), &object) != nil {
		return inPairs(text)
	}
	var codec string
	_ = json.Unmarshal(object["codec"], &codec) // it may not be there
	for _, name := range members {
		var value string
		if json.Unmarshal(object[name], &value) != nil || value == "" {
			continue
		}
		took := fmt.Sprintf("%q of a JSON object", name)
		if b, err := explain.ParseHex(value); err == nil {
			found = append(found, Piece{Bytes: b, Took: took})
		}
		if b, err := base64.StdEncoding.DecodeString(value); err == nil {
			found = append(found, Piece{Bytes: b, Took: took + ", base64"})
			if name == "raw" {
				found = append(found, recordOf(b, codec, took)...)
			}
		}
	}
	return found
}

var pair = regexp.MustCompile(`\b(raw|frame|hex|first|payload|data)="?([0-9a-fA-F]{4,})"?`)

// inPairs is the same of a log as text.
func inPairs(text string) (found []Piece) {
	for _, m := range pair.FindAllStringSubmatch(text, maxCandidates) {
		if b, err := explain.ParseHex(m[2]); err == nil {
			found = append(found, Piece{Bytes: b, Took: m[1] + " of a line of a log"})
		}
	}
	return found
}

var (
	fields = regexp.MustCompile(`[,;\t|]`)
	run    = regexp.MustCompile(`\b(?:0x)?[0-9a-fA-F]{8,}\b`)
)

// inTable is the packet in a line with other things: a field of it, or a run of hex digits. Those that are longest come
// first.
func inTable(text string) (found []Piece) {
	columns := fields.Split(text, maxColumns)
	for i, field := range columns {
		field = strings.Trim(strings.TrimSpace(field), `"'`)
		if b, err := explain.ParseHex(field); err == nil && len(b) >= 4 && len(columns) > 1 {
			found = append(found, Piece{Bytes: b, Took: fmt.Sprintf("field %d of the line", i+1)})
		}
	}
	for _, place := range run.FindAllStringIndex(text, maxColumns) {
		if b, err := explain.ParseHex(text[place[0]:place[1]]); err == nil && place[1]-place[0] < len(text) {
			found = append(found, Piece{Bytes: b, Took: fmt.Sprintf("the hex at column %d of the line", place[0]+1)})
		}
	}
	slices.SortStableFunc(found, func(a, b Piece) int { return len(b.Bytes) - len(a.Bytes) })
	return found[:min(len(found), maxCandidates)]
}

// maxColumns is how many fields of a line are looked at.
const maxColumns = 1000

// recordOf makes a frame of one record, if its bytes are one of the codec; of any that fits if it is not said.
func recordOf(b []byte, codec, took string) []Piece {
	if len(b) > maxSense {
		return nil
	}
	for _, c := range []teltonika.Codec{teltonika.Codec8E, teltonika.Codec8, teltonika.Codec16, teltonika.Codec7} {
		if codec != "" && codec != c.String() || codec == "" && c == teltonika.Codec7 {
			continue
		}
		body := slices.Concat([]byte{byte(c), 1}, b, []byte{1})
		var data teltonika.AVLData
		if data.Decode(body) != nil || codec == "" && !plausible(data.Records[0].Timestamp) {
			continue
		}
		return []Piece{{Bytes: teltonika.AppendFrame(nil, body), Transport: explain.TCP, Took: strings.TrimPrefix(took+
			", ", ", ") + fmt.Sprintf("one record of Codec %s; header, counts and CRC around it are made up", c)}}
	}
	return nil
}

// bodyOf makes a frame of a data field that stands alone.
func bodyOf(b []byte, took string) []Piece {
	var data teltonika.AVLData
	if len(b) < teltonika.MinLength || len(b) > maxSense || data.Decode(b) != nil || len(data.Records) == 0 ||
		!plausible(data.Records[0].Timestamp) {
		return nil
	}
	return []Piece{{Bytes: teltonika.AppendFrame(nil, b), Transport: explain.TCP,
		Took: strings.TrimPrefix(took+", ", ", ") + "a data field; header and CRC around it are made up"}}
}

// plausible reports whether a time is one that a device may send: bytes that are none give any.
func plausible(ms uint64) bool { return ms > 946684800000 && ms < 4102444800000 }
