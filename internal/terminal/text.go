package terminal

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// oddOneIn bounds what is odd in a text: one character in four may be Latin-1 beyond ASCII, or not printable.
const oddOneIn = 4

// Text reads what a device says as UTF-8, or else as Latin-1, and reports whether it looks like text. NULs at the end
// do not count, and U+FFFD stands for what cannot be printed. One odd character is never too many, unless it is all
// there is.
func Text(b []byte) (text string, ok bool) {
	b = bytes.TrimRight(b, "\x00")
	characters := []rune(string(b))
	isUTF8 := utf8.Valid(b)
	if !isUTF8 {
		characters = characters[:0]
		for _, c := range b {
			characters = append(characters, rune(c))
		}
	}
	odd := 0
	var out strings.Builder
	for _, c := range characters {
		printable := unicode.IsPrint(c) || c == '\t' || c == '\r' || c == '\n'
		if !printable || !isUTF8 && c >= utf8.RuneSelf {
			odd++
		}
		if !printable {
			c = utf8.RuneError
		}
		out.WriteRune(c)
	}
	return out.String(), odd < len(characters) && odd <= max(1, len(characters)/oddOneIn)
}
