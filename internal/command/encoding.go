package command

import "encoding/hex"

// EncodePayload returns bytes for a device or of one as text, and how: as they are, if they are printable ASCII, tab, CR or
// LF, else in hex.
func EncodePayload(b []byte) (string, Encoding) {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return hex.EncodeToString(b), Hex
		}
	}
	return string(b), Text
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
