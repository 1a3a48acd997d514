package explain

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows what users see: the packet, its text and its JSON.
func TestGolden(t *testing.T) {
	byName := map[string]string{}
	for _, v := range vectors(t) {
		byName[v.Name] = v.Hex
	}
	// The record's first group says that it has 40 elements.
	overrun := bytes.Clone(unhex(t, frame)[8:46])
	overrun[28] = 40
	unknown := bytes.Clone(unhex(t, frame)[8:46])
	unknown[0] = 0x61
	tests := map[string]string{
		"codec8":          byName["misc-tcp-avl-c8-001"],
		"codec8e":         byName["wiki-tcp-avl-c8e-001"],
		"codec16":         byName["synth-tcp-avl-c16-003"],
		"wrong-crc":       byName["mcraiha-tcp-avl-c8-001"],
		"numbers-differ":  byName["synth-tcp-avl-c8-017"],
		"codec7":          byName["traccar-tcp-avl-c7-001"],
		"codec7-cell":     byName["synth-tcp-avl-c7-001"],
		"off-the-globe":   byName["synth-tcp-avl-c8-009"],
		"command":         byName["wiki-tcp-command-c12-001"],
		"codec15":         byName["wiki-tcp-response-c15-001"],
		"binary-response": byName["synth-tcp-response-c12-002"],
		"udp":             byName["wiki-udp-avl-c8-001"],
		"udp-padded":      byName["wiki-udp-avl-c8-001"] + strings.Repeat("00", 25),
		"udp-answer":      byName["wiki-udp-ack-001"],
		"stream":          "ff" + login + frame + command,
		"lost-stream":     frame + "16030100",
		"cut-off":         frame[:80],
		"overrun":         fmt.Sprintf("%x", teltonika.AppendFrame(nil, overrun)),
		"unknown-codec":   fmt.Sprintf("%x", teltonika.AppendFrame(nil, unknown)),
		"bad-hex":         "000f3335320930 814522-1",
		"not-a-packet":    "474554202f20485454502f312e310d0a",
	}
	for name, input := range tests {
		t.Run(name, func(t *testing.T) {
			if input == "" {
				t.Fatal("no input")
			}
			got := golden(t, input)
			file := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(file, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nexpected:\n%s", got, want)
			}
		})
	}
}

// golden is the input, and for each of its packets the text and the JSON.
func golden(t *testing.T, input string) []byte {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, "$ tcp-ingestion decode %s\n", input)
	var lines bytes.Buffer
	for p := range Line(input, Auto) {
		fmt.Fprintln(&out)
		if err := p.WriteText(&out); err != nil {
			t.Fatal(err)
		}
		if err := p.WriteJSON(&lines); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "$") || strings.HasPrefix(line, "error: ") {
			continue // as long as they are
		}
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	fmt.Fprintf(&out, "\n$ tcp-ingestion decode --json %s\n%s", input, lines.Bytes())
	return out.Bytes()
}
