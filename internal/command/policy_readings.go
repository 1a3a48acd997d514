package command

import (
	"bytes"
	"strconv"
	"strings"
)

// The commands that are about parameters.
const (
	setparam = "setparam" // <id>:<value>[;<id>:<value>]...
	getparam = "getparam" // <id>[;<id>]...
)

// The words that may stand before a command in a text message: nothing, a password, or a login and a password
// (vendor's wiki, "SMS/GPRS Commands").
const maxPrefix = 2

// readings yields every command that a device may take a payload for: in lower case, one space between words.
// It may yield the same one more than once. A guess is one that needs a firmware more lenient than the vendor says.
func readings(payload []byte, yield func(command string, guess bool)) {
	payload = trimEnd(payload)
	if isText(payload) {
		if !readLines(string(payload), false, yield) {
			yield("", false)
		}
		return
	}
	yield(binary, false)
	asSpace, leftOut := make([]byte, 0, len(payload)), make([]byte, 0, len(payload))
	for _, c := range payload {
		switch {
		case isTextByte(c):
			asSpace, leftOut = append(asSpace, c), append(leftOut, c)
		case c == 0:
			asSpace = append(asSpace, '\n')
		default:
			asSpace = append(asSpace, ' ')
		}
	}
	readLines(string(asSpace), true, yield)
	readLines(string(leftOut), true, yield)
}

// trimEnd removes the line end that a command may have.
func trimEnd(payload []byte) []byte { return bytes.TrimRight(payload, "\r\n\x00") }

func isTextByte(c byte) bool {
	return c >= ' ' && c <= '~' || c == '\t' || c == '\r' || c == '\n'
}

func isText(b []byte) bool {
	for _, c := range b {
		if !isTextByte(c) {
			return false
		}
	}
	return true
}

// readLines yields what may be in a text, and reports whether there is any word in it.
func readLines(text string, guess bool, yield func(string, bool)) (found bool) {
	for line := range strings.FieldsFuncSeq(strings.ToLower(text), isLineEnd) {
		if readLine(line, guess, yield) {
			found = true
		}
	}
	return found
}

func isLineEnd(c rune) bool { return c == '\r' || c == '\n' }

// readLine yields the commands between semicolons. A part that begins with a number belongs to the setparam or
// getparam before it.
func readLine(line string, guess bool, yield func(string, bool)) (found bool) {
	about := "" // setparam or getparam, once it has been seen
	for part := range strings.SplitSeq(line, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		found = true
		if id, _ := cutID(words[0]); about != "" && id != "" {
			words = append([]string{about}, words...)
		}
		readCommand(words, guess, yield)
		for prefix := range min(len(words), maxPrefix+1) {
			plain := undecorated(words[prefix:])
			readCommand(plain, true, yield)
			if plain[0] == setparam || plain[0] == getparam {
				about = plain[0]
			}
		}
	}
	return found
}

// readCommand yields one command, or one for each parameter that it is about.
func readCommand(words []string, guess bool, yield func(string, bool)) {
	name, args := words[0], strings.Join(words[1:], " ")
	if args == "" || name != setparam && name != getparam {
		yield(strings.Join(words, " "), guess)
		return
	}
	for _, p := range parameters(name, args) {
		yield(name+" "+p, guess)
	}
}

// undecorated takes the punctuation off the first word, so that its name stands alone.
func undecorated(words []string) []string {
	word := strings.TrimLeftFunc(words[0], isPunctuation)
	end := strings.IndexFunc(word, isPunctuation)
	if end < 0 {
		return append([]string{word}, words[1:]...)
	}
	plain := []string{word[:end]}
	if rest := strings.TrimLeftFunc(word[end:], isPunctuation); rest != "" {
		plain = append(plain, rest)
	}
	return append(plain, words[1:]...)
}

// isPunctuation reports whether a character cannot be one of a command's name.
func isPunctuation(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_'
}

// parameters cuts the arguments of setparam or getparam before each parameter's id, and writes each as the vendor does:
// id:value, or the id alone.
func parameters(command, args string) (list []string) {
	start, first := 0, true
	add := func(end int) {
		s := strings.Trim(args[start:end], separators)
		if id, value := cutID(s); id != "" && command == setparam {
			s = id + ":" + value
		} else if id != "" {
			s = strings.TrimSpace(id + " " + value)
		}
		if s != "" {
			list = append(list, s)
		}
		start = end
	}
	for i := range args {
		if isDigit(args[i]) && (i == 0 || strings.IndexByte(separators, args[i-1]) >= 0) &&
			(command == getparam || first || beginsParameter(args[i:])) {
			add(i)
			first = false
		}
	}
	add(len(args))
	return list
}

// separators may stand between parameters, beside the semicolon.
const separators = ` ,"'+`

// beginsParameter reports whether a number is an id because a colon follows.
func beginsParameter(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(strings.TrimLeft(s, digits), " "), ":")
}

// cutID cuts the id of a parameter from its value. The id is empty if there is none. It is what a device makes of the digits
// that keeps ids in 16 bits: zeros before it and multiples of 65536 do not count.
func cutID(s string) (id, value string) {
	s = strings.TrimLeft(s, separators)
	value = strings.TrimLeft(s, digits)
	number := s[:len(s)-len(value)]
	if number == "" {
		return "", s
	}
	n := uint16(0)
	for i := range number {
		n = n*10 + uint16(number[i]-'0')
	}
	return strconv.Itoa(int(n)), strings.TrimLeft(value, " :=")
}

const digits = "0123456789"

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
