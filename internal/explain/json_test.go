package explain

import (
	"bytes"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestJSONText: text is shown as it is, where it is text.
func TestJSONText(t *testing.T) {
	for payload, want := range map[string]string{
		"<a&b>":      `"text":"<a&b>"`,
		"\"\\\t\r\n": `"text":"\"\\\t\r\n"`,
		"ok\x00":     `"text":null`,
		"é":          `"text":null`,
		"":           `"text":null`,
	} {
		messages := teltonika.Messages{Codec: teltonika.Codec12,
			Messages: []teltonika.Message{{Type: 6, Payload: []byte(payload)}}}
		packet, err := messages.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		for p := range Packets(packet, Auto) {
			var line bytes.Buffer
			if err := p.WriteJSON(&line); err != nil || !strings.Contains(line.String(), want) {
				t.Errorf("%q: %v, expected %s in %s", payload, err, want, line.String())
			}
		}
	}
}

// TestTextForPeople: one byte that is no text does not hide the rest of a device's answer, and cannot do anything to
// a terminal.
func TestTextForPeople(t *testing.T) {
	for payload, want := range map[string]string{
		"INI:2026/11/22\x00":       `"INI:2026/11/22\x00"`,
		"Temp: 25\xb0C":            `"Temp: 25\xb0C"`,
		"Temp: 25\u00b0C":          `"Temp: 25°C"`,
		"clear\x1b[2J it\r":        `"clear\x1b[2J it\r"`,
		"\xff\xd8\xff\xe0\x00\x10": "6 bytes",
		"\x00\x00":                 "2 bytes",
		"":                         "empty",
	} {
		if got := text([]byte(payload)); got != want {
			t.Errorf("%q is shown as %s, want %s", payload, got, want)
		}
	}
}
