package command

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EncodePayload returns bytes for a device or of one as text, and how: as they are, if they are printable ASCII, tab, CR or
// LF, else in hex.
func EncodePayload(b []byte) (string, Encoding) {
	if !isText(b) {
		return hex.EncodeToString(b), Hex
	}
	return string(b), Text
}

// IsLine reports whether a payload is printable ASCII, perhaps with a line end at its end: what somebody means who
// types a command.
func IsLine(payload []byte) bool {
	return !bytes.ContainsFunc(bytes.TrimRight(payload, "\r\n"), func(c rune) bool { return c < ' ' || c > '~' })
}

// DecodePayload is the reverse. An empty encoding is Text, as whose bytes anything goes. Its errors are [FieldError].
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

// EncodeResponse returns a device's answer as text for people and programs, and how. Few answers are wholly ASCII:
// some end with NULs, some have a degree sign in Latin-1 or a word in UTF-8. Those are text too, without the NULs at
// the end, and with U+FFFD for what cannot be printed; then raw is the answer in hex. Only what has too little text
// in it is in hex itself. One such character is never too many, unless it is all there is.
func EncodeResponse(b []byte) (text string, e Encoding, raw string) {
	if text, e = EncodePayload(b); e == Text {
		return text, e, ""
	}
	if readable, ok := readText(bytes.TrimRight(b, "\x00")); ok {
		return readable, Text, text
	}
	return text, e, ""
}

// DecodeResponse is the reverse.
func DecodeResponse(text string, e Encoding, raw string) ([]byte, error) {
	if raw != "" {
		return DecodePayload(raw, Hex)
	}
	return DecodePayload(text, e)
}

// doubtShare is the part of a text, as one of so many characters, that may be no ASCII in Latin-1, or not printable.
const doubtShare = 4

// readText reads UTF-8, or else Latin-1, and reports whether it looks like text.
func readText(b []byte) (text string, ok bool) {
	unicodeText := utf8.Valid(b)
	count, doubtful := 0, 0
	var out strings.Builder
	add := func(c rune) {
		count++
		printable := unicode.IsPrint(c) || c == '\t' || c == '\r' || c == '\n'
		if !printable || !unicodeText && c >= utf8.RuneSelf {
			doubtful++
		}
		if !printable {
			c = utf8.RuneError
		}
		out.WriteRune(c)
	}
	if unicodeText {
		for _, c := range string(b) {
			add(c)
		}
	} else {
		for _, c := range b {
			add(rune(c))
		}
	}
	return out.String(), doubtful < count && doubtful <= max(1, count/doubtShare)
}
