package command

import (
	"strings"
	"testing"
)

// Most answers are text, whatever one byte of them is.
func TestEncodeResponse(t *testing.T) {
	for answer, want := range map[string]struct {
		text     string
		encoding Encoding
		raw      bool // the bytes are kept beside the text
	}{
		"":                                  {"", Text, false},
		"Ver:03.25.14\r\n":                  {"Ver:03.25.14\r\n", Text, false},
		"INI:2026/11/22\x00":                {"INI:2026/11/22", Text, true},
		"INI\x00\x00\x00\x00\x00\x00\x00":   {"INI", Text, true},
		"Temp: 25\xb0C":                     {"Temp: 25°C", Text, true},
		"Temp: 25\u00b0C":                   {"Temp: 25°C", Text, true},
		"\u017dv\u0117rynas":                {"Žvėrynas", Text, true},
		"Привет":                            {"Привет", Text, true},
		"Volt: 12\x01 and \x1b[2J":          {"Volt: 12\ufffd and \ufffd[2J", Text, true},
		"evil \u202etxt, \u2028 and \u009b": {"evil \ufffdtxt, \ufffd and \ufffd", Text, true},
		"at 0x9b \x9b":                      {"at 0x9b \ufffd", Text, true},
		"\x00":                              {"00", Hex, false},
		"\xff\xd8\xff\xe0":                  {"ffd8ffe0", Hex, false},
		"\x01\x02\x03abc":                   {"010203616263", Hex, false},
		"5\xb0":                             {"5°", Text, true},
		"5\xb0C":                            {"5°C", Text, true},
		"\xb0":                              {"b0", Hex, false},
		"5\xb0\xb1":                         {"35b0b1", Hex, false},
	} {
		text, encoding, raw := EncodeResponse([]byte(answer))
		if text != want.text || encoding != want.encoding || (raw != "") != want.raw {
			t.Errorf("%q: %q as %s, raw %q", answer, text, encoding, raw)
		}
		if b, err := DecodeResponse(text, encoding, raw); err != nil || string(b) != answer {
			t.Errorf("%q comes back as %q, %v", answer, b, err)
		}
	}
}

// FuzzEncodeResponse expects every answer to come back, and text to be printable.
func FuzzEncodeResponse(f *testing.F) {
	f.Add([]byte("Temp: 25\xb0C\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		text, encoding, raw := EncodeResponse(answer)
		if b, err := DecodeResponse(text, encoding, raw); err != nil || string(b) != string(answer) {
			t.Errorf("%q comes back as %q, %v", answer, b, err)
		}
		if strings.ContainsAny(text, "\x00\x08\x1b\u0085\u009b\u2028\u202e") {
			t.Errorf("%q is %q", answer, text)
		}
	})
}
