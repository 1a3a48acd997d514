package command

import (
	"bytes"
	"encoding/hex"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
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
	if readable, ok := terminal.Text(b); ok {
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
