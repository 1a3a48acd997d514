package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile is what a device may say to do something to the operator's terminal, and what is shown of it.
var hostile = map[string]string{
	"Ver:03.25.14\n\tok":   "Ver:03.25.14\n\tok",
	"ok\rDOUT1:0 set":      `ok\rDOUT1:0 set`,
	"\x1b[2J\x1b]0;t\x07":  `\u001b[2J\u001b]0;t\u0007`,
	"on\b\boff":            `on\b\boff`,
	"\u202egpj.exe":        `\u202egpj.exe`,
	"\x9b2J":               `\x9b2J`,
	"\u009b2J":             `\u009b2J`,
	"a\u2028b\u2066c":      `a\u2028b\u2066c`,
	"a\x00b\x7f\v\f":       `a\u0000b\u007f\u000b\f`,
	"25°C Žvėrynas 你好":     "25°C Žvėrynas 你好",
	"\U000e0041":           `\udb40\udc41`,
	"cut off \xe2\x80":     `cut off \xe2\x80`,
	"\xe2\x80\xe2\x80\xae": `\xe2\x80\u202e`,
}

// TestHostileText writes each text at once and byte by byte.
func TestHostileText(t *testing.T) {
	for text, want := range hostile {
		var whole, pieces bytes.Buffer
		w := NewWriter(&whole)
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d bytes, %v", text, n, err)
		}
		w.Flush()
		w = NewWriter(&pieces)
		for i := range len(text) {
			w.Write([]byte(text[i : i+1]))
		}
		w.Flush()
		if whole.String() != want || pieces.String() != want {
			t.Errorf("%q is %q at once and %q in pieces, want %q", text, whole.String(), pieces.String(), want)
		}
	}
}

func TestLine(t *testing.T) {
	if got := Line("404\nNot Found\t<html>\x1b"); got != `404\nNot Found\t<html>\u001b` {
		t.Errorf("is %q", got)
	}
}

func TestWriterFails(t *testing.T) {
	for _, text := range []string{"plain", "25°C"} {
		if n, err := NewWriter(broken{}).Write([]byte(text)); n != 0 || !errors.Is(err, errBroken) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// FuzzWriter expects that nothing but printable characters, tabs and line ends comes out, and that JSON stays what it
// is.
func FuzzWriter(f *testing.F) {
	for text := range hostile {
		f.Add(text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, cut int) {
		document, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []string{text, string(document)} {
			var out strings.Builder
			w := NewWriter(&out)
			at := max(0, min(cut, len(in)))
			w.Write([]byte(in[:at]))
			w.Write([]byte(in[at:]))
			w.Flush()
			for _, c := range out.String() {
				invented := c == utf8.RuneError && !strings.ContainsRune(in, c)
				if invented || !unicode.IsPrint(c) && c != '\n' && c != '\t' {
					t.Errorf("%q is shown as %q", in, out.String())
				}
			}
			var before, after string
			if in == string(document) && (json.Unmarshal(document, &before) != nil ||
				json.Unmarshal([]byte(out.String()), &after) != nil || before != after) {
				t.Errorf("JSON %q is shown as %q", in, out.String())
			}
		}
	})
}
