// Package terminal makes text of others safe to be shown: nothing in it moves the cursor, clears the screen, turns the
// direction of writing or passes for another line.
package terminal

import (
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer passes on printable characters, tabs and line ends, and escapes the others as JSON does: `\r`, `\u001b`,
// `\u202e`. So JSON with such characters in its strings stays the same JSON. Bytes that are not UTF-8 become `\x9b`.
// A Writer may be used by several goroutines.
type Writer struct {
	mu   sync.Mutex
	out  io.Writer
	held []byte // the beginning of a character whose end is still to come
}

// NewWriter returns a Writer to out. Flush it at the end.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write returns the length of p unless out fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 && isSafe(p) {
		return w.out.Write(p)
	}
	text := append(w.held, p...)
	end := wholeCharacters(text)
	if _, err := w.out.Write(escape(nil, text[:end], "\n\t")); err != nil {
		return 0, err
	}
	w.held = append([]byte(nil), text[end:]...)
	return len(p), nil
}

// Flush writes what is left of a character that has no end.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	_, err := w.out.Write(escape(nil, w.held, "\n\t"))
	w.held = nil
	return err
}

// Line returns a text for one line: as Writer does, with line ends and tabs escaped too.
func Line(text string) string { return string(escape(nil, []byte(text), "")) }

// isSafe is a quick look: most text is printable ASCII.
func isSafe(p []byte) bool {
	for _, c := range p {
		if (c < ' ' || c > '~') && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// wholeCharacters is where a character begins that p does not have the end of, or the length of p.
func wholeCharacters(p []byte) int {
	for i := len(p) - 1; i >= 0 && i > len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if utf8.FullRune(p[i:]) {
				break
			}
			return i
		}
	}
	return len(p)
}

// escape appends the text to dst. The characters of pass are not escaped.
func escape(dst, text []byte, pass string) []byte {
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		switch {
		case c == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, text[0])
		case unicode.IsPrint(c) || isIn(pass, c):
			dst = append(dst, text[:size]...)
		default:
			dst = appendEscape(dst, c)
		}
		text = text[size:]
	}
	return dst
}

func isIn(pass string, c rune) bool {
	for _, p := range pass {
		if p == c {
			return true
		}
	}
	return false
}

func appendEscape(dst []byte, c rune) []byte {
	for i, short := range "\b\t\n\f\r" {
		if c == short {
			return append(dst, '\\', "btnfr"[i])
		}
	}
	if high, low := utf16.EncodeRune(c); high != unicode.ReplacementChar {
		return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(dst, `\u%04x`, c)
}
