package meaning

import "unicode/utf8"

// A device's text is taken for Latin-1: every byte is a character, so that nothing a device sends is lost or makes the
// document invalid. What JSON does not allow in a string is escaped.

func appendLatin1(dst, text []byte) []byte {
	for _, b := range text {
		dst = appendCharacter(dst, b)
	}
	return dst
}

// appendMirrored appends a text that was sent backwards, without the zeros around it.
func appendMirrored(dst, text []byte) []byte {
	for len(text) > 0 && text[0] == 0 {
		text = text[1:]
	}
	text = trimEnd(text, false)
	for i := len(text) - 1; i >= 0; i-- {
		dst = appendCharacter(dst, text[i])
	}
	return dst
}

// trimEnd cuts off the zeros at the end, and with spaces the spaces too.
func trimEnd(text []byte, spaces bool) []byte {
	for len(text) > 0 && (text[len(text)-1] == 0 || spaces && text[len(text)-1] == ' ') {
		text = text[:len(text)-1]
	}
	return text
}

func appendCharacter(dst []byte, b byte) []byte {
	const digits = "0123456789abcdef"
	switch {
	case b == '"' || b == '\\':
		return append(dst, '\\', b)
	case b >= 0x7f && b < 0xa0 || b < ' ': // control characters, also those that JSON would allow
		return append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
	case b < utf8.RuneSelf:
		return append(dst, b)
	}
	return utf8.AppendRune(dst, rune(b))
}
