package command

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The commands that are about parameters.
const (
	setparam = "setparam" // <id>:<value>[;<id>:<value>]...
	getparam = "getparam" // <id>[;<id>]...
)

// A payload is plain if it leaves no doubt which commands a device sees in it. Up to CR, LF and NUL at its end it is
//
//	payload = command *( ";" command )
//	command = letters, digits, spaces and . , : ? ! + - _ / # * @, in which setparam and getparam do not occur
//
// or, where it is about parameters,
//
//	command = "setparam" " " id ( ":" | " " ) value *( ";" id ":" value )
//	        | "getparam" *( ( " " | "," | ";" ) id ) [ "?" ]
//	        | name
//	id      = 0 to 65535 in decimal, without a sign or zeros before it
//	value   = [ "+" | "-" ] *( letter | digit | "." | "_" )
//	name    = letters and "_"
//
// in upper and lower case, with as many spaces as one likes. Everything else is odd. What a firmware takes for white
// space, for the end of a command or for a number nobody promises, so that no list of such characters is complete: a
// plain payload has none of them.
var (
	setForm  = regexp.MustCompile(`^setparam ([0-9]+)[: ]([+-]?[a-z0-9._]*)$`)
	moreForm = regexp.MustCompile(`^([0-9]+):([+-]?[a-z0-9._]*)$`)
	nameForm = regexp.MustCompile(`^[a-z_]+$`)
)

// punctuation is what a plain payload may have. No escape begins with it.
const punctuation = ".,:;?!+-_/#*@"

// What makes a payload odd, for people. No value is in it: it may be a password.
const (
	oddParameters = "parameters are set as setparam ID:VALUE;ID:VALUE and asked for as getparam ID;ID, " +
		"in which an ID is a plain decimal number and a VALUE has only letters, digits, dots and underscores, " +
		"with nothing else but names of commands beside them"
	oddByte = "byte %d, 0x%02x, is none of letters, digits, spaces and " + punctuation
)

// NotPlain says why it is not certain what a device takes a payload for, such as which of its bytes is a control
// character. It has no value of the payload, and is empty for a plain one.
func NotPlain(payload []byte) string {
	_, odd := readPlain(payload)
	return odd
}

// readPlain returns the commands of a plain payload, in lower case and with one space between words, each parameter
// of a setparam or getparam as a command of its own. Of any other one it says why it is odd.
func readPlain(payload []byte) (commands []string, odd string) {
	payload = trimEnd(payload)
	for i, c := range payload {
		if !isNameByte(c) && (c < 'A' || c > 'Z') && strings.IndexByte(" "+punctuation, c) < 0 {
			return nil, fmt.Sprintf(oddByte, i+1, c)
		}
	}
	text := strings.ToLower(string(payload))
	letters := squeeze(text)
	if strings.Contains(letters, setparam) || strings.Contains(letters, getparam) {
		return readParameters(text)
	}
	for part := range strings.SplitSeq(text, ";") {
		if part = oneSpaced(part); part != "" {
			commands = append(commands, part)
		}
	}
	return commands, ""
}

// readParameters is readPlain for a payload that is about parameters.
func readParameters(text string) (commands []string, odd string) {
	about := "" // the command that the part before this one belongs to, if that is setparam or getparam
	for part := range strings.SplitSeq(text, ";") {
		part = oneSpaced(part)
		isDigit := part != "" && part[0] >= '0' && part[0] <= '9'
		switch {
		case about == getparam && isDigit:
			part = getparam + " " + part
		case about == setparam && moreForm.MatchString(part):
			part = setparam + " " + part
		case about == setparam && isDigit:
			return nil, oddParameters
		}
		switch word, rest, _ := strings.Cut(part, " "); {
		case part == "":
		case word == getparam:
			about = getparam
			ids := strings.FieldsFunc(strings.TrimSuffix(rest, "?"), func(c rune) bool { return c == ' ' || c == ',' })
			for _, id := range ids {
				if !isID(id) {
					return nil, oddParameters
				}
				commands = append(commands, getparam+" "+id)
			}
			if len(ids) == 0 {
				commands = append(commands, getparam)
			}
		case nameForm.MatchString(part) && part != setparam:
			about = ""
			commands = append(commands, part)
		default:
			about = setparam
			m := setForm.FindStringSubmatch(part)
			if m == nil || !isID(m[1]) {
				return nil, oddParameters
			}
			commands = append(commands, setparam+" "+m[1]+":"+m[2])
		}
	}
	return commands, ""
}

// isID reports whether s is the id of a parameter, written in the only way that all devices read alike.
func isID(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && s == strconv.FormatUint(n, 10)
}

// names yields what may be commands in a plain one, wherever they stand: behind a password as in a text message, or
// behind a character that separates commands for some device. Each has its arguments, if any, behind one space.
func names(command string, yield func(string)) {
	for i := 0; i < len(command); i++ {
		if !isNameByte(command[i]) || i > 0 && isNameByte(command[i-1]) {
			continue
		}
		end := i + 1
		for end < len(command) && isNameByte(command[end]) {
			end++
		}
		word, args := command[i:end], command[end:]
		if args != "" {
			args = " " + strings.TrimLeft(args[1:], " ")
		}
		yield(word + args)
		if letters := strings.TrimRight(word, digits); letters != "" && letters != word { // setdigout1
			yield(letters + " " + word[len(letters):] + args)
		}
	}
}

// squeeze leaves out of a text, in lower case, all that cannot be of a command's name.
func squeeze(text string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 && isNameByte(byte(c)) {
			return c
		}
		return -1
	}, strings.ToLower(text))
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_'
}

const digits = "0123456789"

func oneSpaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// trimEnd removes the line end that a command may have.
func trimEnd(payload []byte) []byte { return bytes.TrimRight(payload, "\r\n\x00") }
