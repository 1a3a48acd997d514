package command

import (
	"bytes"
	"encoding/hex"
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
