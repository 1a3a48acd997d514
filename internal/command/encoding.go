package command

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EncodePayload writes the bytes of a command or message as text. Printable ASCII, tab, CR and LF stay as they are. If
// there is anything else, all of it is in hex.
func EncodePayload(b []byte) (string, Encoding) {
	if !isText(b) {
		return hex.EncodeToString(b), Hex
	}
	return string(b), Text
}

// IsLine reports whether a payload is what somebody types as a command: printable ASCII, perhaps with a line end.
func IsLine(payload []byte) bool {
	return !bytes.ContainsFunc(bytes.TrimRight(payload, "\r\n"), func(c rune) bool { return c < ' ' || c > '~' })
}

// DecodePayload reads what EncodePayload writes. An empty encoding is Text. Text may have any bytes. Its errors are
// [FieldError].
func DecodePayload(s string, e Encoding) ([]byte, error) {
	switch e {
	case "", Text:
		return []byte(s), nil
	case Hex:
		b, err := hex.DecodeString(s)
		if err != nil {
			return nil, &FieldError{"payload", "is not hex: " + err.Error()}
		}
		return b, nil
	}
	return nil, &FieldError{"encoding", "must be text or hex"}
}

// EncodeResponse writes a device's answer as text for people and programs. Some answers end with NULs, some have a
// degree sign in Latin-1 or a word in UTF-8. They are text too: without the NULs at the end, with U+FFFD for what
// cannot be printed, and with the whole answer in raw, in hex. An answer with too little text in it is in hex itself,
// and raw is empty. One odd character is never too many, unless it is all there is.
func EncodeResponse(b []byte) (text string, e Encoding, raw string) {
	if text, e = EncodePayload(b); e == Text {
		return text, e, ""
	}
	if readable, ok := readText(bytes.TrimRight(b, "\x00")); ok {
		return readable, Text, text
	}
	return text, e, ""
}

// DecodeResponse reads what EncodeResponse writes.
func DecodeResponse(text string, e Encoding, raw string) ([]byte, error) {
	if raw != "" {
		return DecodePayload(raw, Hex)
	}
	return DecodePayload(text, e)
}

// oddOneIn bounds what is odd in a text: one character in four may be Latin-1 beyond ASCII, or not printable.
const oddOneIn = 4

// readText reads UTF-8, or else Latin-1, and reports whether it looks like text.
func readText(b []byte) (text string, ok bool) {
	isUTF8 := utf8.Valid(b)
	count, odd := 0, 0
	var out strings.Builder
	add := func(c rune) {
		count++
		printable := unicode.IsPrint(c) || c == '\t' || c == '\r' || c == '\n'
		if !printable || !isUTF8 && c >= utf8.RuneSelf {
			odd++
		}
		if !printable {
			c = utf8.RuneError
		}
		out.WriteRune(c)
	}
	if isUTF8 {
		for _, c := range string(b) {
			add(c)
		}
	} else {
		for _, c := range b {
			add(rune(c))
		}
	}
	return out.String(), odd < count && odd <= max(1, count/oddOneIn)
}
