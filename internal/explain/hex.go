package explain

import (
	"fmt"
	"unicode/utf8"
)

// HexError says why a text is not a packet in hex.
type HexError struct {
	Character int // position in the text, counted in characters from 1
	Detail    string
}

func (e *HexError) Error() string {
	return fmt.Sprintf("hex at character %d: %s", e.Character, e.Detail)
}

// ParseHex reads a packet in hex. White space, colons and a 0x before any run of digits are skipped, because
// logs and packet sniffers print them. Errors are [*HexError].
func ParseHex(text string) ([]byte, error) {
	packet := make([]byte, 0, len(text)/2)
	var high byte     // the first digit of a byte
	half := false     // high is waiting for its second digit
	lastDigit := 0    // where in text
	separated := true // nothing or a separator stands before the current character
	for i := 0; i < len(text); i++ {
		c := text[i]
		if isSeparator(c) {
			separated = true
			continue
		}
		if c == '0' && separated && i+1 < len(text) && (text[i+1] == 'x' || text[i+1] == 'X') {
			i++
			separated = false
			continue
		}
		separated = false
		digit, ok := hexDigit(c)
		if !ok {
			_, size := utf8.DecodeRuneInString(text[i:])
			return nil, &HexError{character(text, i), fmt.Sprintf("%q is not a hex digit", text[i:i+size])}
		}
		if half {
			packet = append(packet, high<<4|digit)
		}
		high, half, lastDigit = digit, !half, i
	}
	if half {
		return nil, &HexError{character(text, lastDigit), "the last byte has only one digit"}
	}
	if len(packet) == 0 {
		return nil, &HexError{character(text, len(text)), "no hex digits"}
	}
	return packet, nil
}

// character is the position of byte i in characters, from 1.
func character(text string, i int) int { return utf8.RuneCountInString(text[:i]) + 1 }

func isSeparator(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '\v', '\f', ':':
		return true
	}
	return false
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
