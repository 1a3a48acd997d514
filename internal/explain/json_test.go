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
		messages := teltonika.Messages{Codec: teltonika.Codec12, Messages: []teltonika.Message{{Type: 6, Payload: []byte(payload)}}}
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
