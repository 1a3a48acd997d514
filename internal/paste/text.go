package paste

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

// Text is what a line or literal holds: the reading that makes most sense. If none does it is hex as it stands, if it
// can be that, or else nothing.
func Text(text string) Piece {
	text = strings.TrimSpace(text)
	var all []Piece
	if b, err := explain.ParseHex(text); err == nil {
		all = append(all, Piece{Bytes: b, sure: true})
		if len(text) > maxSense || sense(b, explain.Auto) >= some {
			return Piece{Bytes: b, Text: text}
		}
	}
	for _, read := range []func(string) []Piece{separated, singleDigits, buffer, numbers, escapes, inLog, inJSON, inTable,
		fromBase64, zerosCut} {
		all = append(all, read(text)...)
	}
	p := best(all)
	p.Text = text
	return p
}

// outer is what stands around hex in literals and calls.
var outer = regexp.MustCompile(`^(?:\w+\s*:?=\s*)?` +
	`(?:(?:bytes|bytearray)\.fromhex|hex\.DecodeString|(?:binascii\.)?unhexlify|Buffer\.from|)\s*\(?\s*["'` + "`" +
	`]?([0-9a-fA-FxX\\\s:,;_\-."'|]+?)["'` + "`" + `]?(?:,\s*["']hex["'])?\s*\)?;?$`)

var separators = strings.NewReplacer("\\x", " ", "0x", " ", "0X", " ", ",", " ", "-", " ", ";", " ", "_", " ", `"`, " ",
	"'", " ", "`", " ", ".", " ", "|", " ", "\\", " ", ":", " ")

// separated is hex with anything between its bytes, in quotes, or in a call that reads hex.
func separated(text string) []Piece {
	m := outer.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	b, err := explain.ParseHex(separators.Replace(m[1]))
	if err != nil {
		return nil
	}
	return []Piece{{Bytes: b, sure: true}}
}

// singleDigits is hex whose bytes are apart, some of them without their leading zero.
func singleDigits(text string) []Piece {
	m := outer.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	tokens := strings.Fields(separators.Replace(m[1]))
	short := 0
	var b []byte
	for _, token := range tokens {
		n, err := strconv.ParseUint(token, 16, 8)
		if err != nil || len(token) > 2 {
			return nil
		}
		if len(token) == 1 {
			short++
		}
		b = append(b, byte(n))
	}
	if short == 0 {
		return nil
	}
	return []Piece{{Bytes: b, Took: "bytes of which some have no leading zero",
		Hint: fmt.Sprintf("%d of %d bytes are written with one digit: print each with two (%%02x)", short, len(b))}}
}

var bufferText = regexp.MustCompile(`<(?:Slow)?Buffer((?:\s[0-9a-fA-F]{2})*)(?:\s*\.\.\. (\d+) more bytes?)?\s*>`)

// buffer is how Node prints one.
func buffer(text string) []Piece {
	m := bufferText.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(m[1]), ""))
	if err != nil || len(b) == 0 {
		return nil
	}
	p := Piece{Bytes: b, Took: "a Buffer of Node", sure: true}
	if m[2] != "" {
		p.Hint = m[2] + " more bytes are not printed: use buffer.toString('hex')"
	}
	return []Piece{p}
}

var (
	list    = regexp.MustCompile(`[\[{(]([\s,0-9a-fA-FxX]+)[\]})]`)
	numeric = regexp.MustCompile(`^(0[xX][0-9a-fA-F]{1,2}|[0-9]{1,3})$`)
)

// numbers is a list of bytes as numbers, as literals of Go, Python, Java and JSON are.
func numbers(text string) (found []Piece) {
	for _, m := range list.FindAllStringSubmatch(text, maxCandidates) {
		var b []byte
		for _, token := range strings.FieldsFunc(m[1], func(c rune) bool { return strings.ContainsRune(" ,\n\r\t", c) }) {
			n, err := strconv.ParseUint(strings.ToLower(token), 0, 8)
			if strings.TrimLeft(token, "0") == "" || token[0] == '0' && len(token) > 1 && token[1] != 'x' && token[1] != 'X' {
				n, err = strconv.ParseUint(token, 10, 8)
			}
			if err != nil || !numeric.MatchString(token) {
				b = nil
				break
			}
			b = append(b, byte(n))
		}
		if len(b) > 0 {
			found = append(found, Piece{Bytes: b, Took: "a list of bytes as numbers"})
		}
	}
	return found
}

var quoted = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'`)

// escapes is a literal with \x00 in it, or the same without quotes; parts of one that stand behind each other are one.
func escapes(text string) []Piece {
	if !strings.Contains(text, `\x`) {
		return nil
	}
	inner := text
	if parts := quoted.FindAllStringSubmatch(text, -1); parts != nil {
		inner = ""
		for _, p := range parts {
			inner += p[1] + p[2]
		}
	}
	return []Piece{{Bytes: unescape(inner), Took: `a string with \x in it`, sure: true}}
}

var escape = regexp.MustCompile(`(?s)\\(x[0-9a-fA-F]{2}|[0-7]{3}|.)`)

func unescape(text string) []byte {
	plain := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'a': 7, 'b': 8, 'f': 12, 'v': 11, '0': 0}
	return escape.ReplaceAllFunc([]byte(text), func(m []byte) []byte {
		switch c := m[1]; {
		case c == 'x' && len(m) == 4:
			n, _ := strconv.ParseUint(string(m[2:]), 16, 8)
			return []byte{byte(n)}
		case len(m) == 4:
			n, _ := strconv.ParseUint(string(m[1:]), 8, 16)
			return []byte{byte(n)}
		default:
			if b, ok := plain[c]; ok {
				return []byte{b}
			}
			return []byte{c}
		}
	})
}

var base64Text = regexp.MustCompile(`^["']?([A-Za-z0-9+/_-]{12,}={0,2})["']?$`)

// fromBase64 is all of the text.
func fromBase64(text string) []Piece {
	m := base64Text.FindStringSubmatch(strings.Join(strings.Fields(text), ""))
	if m == nil {
		return nil
	}
	digits := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(m[1], "="))
	b, err := base64.RawStdEncoding.DecodeString(digits)
	if err != nil {
		return nil
	}
	return []Piece{{Bytes: b, Took: "base64"}}
}

var onlyDigits = regexp.MustCompile(`^(?:0[xX])?([0-9a-fA-F]{8,})$`)

// zerosCut is hex that was once a number, so that its leading zeros are gone. It is only taken if it makes sense.
func zerosCut(text string) (found []Piece) {
	m := onlyDigits.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	for zeros := 1; zeros <= 15; zeros++ {
		b, err := hex.DecodeString(strings.Repeat("0", zeros) + m[1])
		if err == nil && sense(b, explain.Auto) == allGood {
			return []Piece{{Bytes: b, Took: fmt.Sprintf("hex without its %d leading zeros", zeros),
				Hint: "a number has no leading zeros: print the bytes, each with two digits"}}
		}
	}
	return nil
}
