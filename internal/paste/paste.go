// Package paste finds the packets in what people paste: hex as programs print it, dumps with offsets and text beside
// them, literals of languages, lines of logs, tables and files of packet sniffers. Where it guesses it says what it
// took the input for. Nothing that it reads can make it keep more than a few times the input, which is bounded.
package paste

import (
	"encoding/hex"
	"regexp"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

// MaxInput is the longest line, literal, dump or file that is read, in bytes.
const MaxInput = 64 << 20

// Piece is what one line, dump or stream holds.
type Piece struct {
	Line      int    // where it begins, from 1; 0 in a file
	Bytes     []byte // nil: Text is nothing that is known
	Text      string // as it was given
	Transport explain.Transport
	Took      string // what it was taken for; empty for hex as it stands
	Hint      string // what may be wrong with how it is written
	Skipped   bool   // there is no packet in it, and need not be

	sure bool // it is what Took says, whatever its bytes are
}

// Reader takes lines and returns what they hold. A dump and a literal may be several lines.
type Reader struct {
	line    int
	dump    dump
	sniffed assembler       // of a dump with the headers of IP
	literal strings.Builder // the lines of one that is not closed
	open    int             // its brackets
	wrapped strings.Builder // lines of base64
	isHex   bool            // they are lines of hex
	begun   int             // the first line of any of them
}

// Add takes the next line.
func (r *Reader) Add(line string) (found []Piece) {
	r.line++
	text := strings.TrimSpace(line)
	switch {
	case r.open > 0:
		return r.goOn(text)
	case isWrapped(text) && (r.wrapped.Len() == 0 || r.wrapped.Len() < MaxInput && isHex(text) == r.isHex):
		found = append(r.endDump(), r.endSniffed()...)
		if r.wrapped.Len() == 0 {
			r.begun, r.isHex = r.line, isHex(text)
		}
		r.wrapped.WriteString(text)
		return found
	case r.wrapped.Len() > 0:
		return r.endWrapped(text)
	}
	row, ok := parseRow(line)
	switch {
	case r.dump.endsAt(text):
		return nil
	case ok && r.dump.follows(row):
		r.dump.add(row)
		return nil
	case ok:
		found = r.endDump()
		r.begun = r.line
		r.dump.add(row)
		return found
	case text == "" || text[0] == '#' || besideLine.MatchString(text):
		return r.endDump()
	}
	found = append(r.endDump(), r.endSniffed()...)
	if literalStart.MatchString(text) && depth(text) > 0 {
		r.open, r.begun = depth(text), r.line
		r.literal.WriteString(text)
		return found
	}
	return append(found, r.piece(text, r.line))
}

// wrappedLine is a whole line of base64 as programs wrap it. One of hex digits alone is hex.
var wrappedLine = regexp.MustCompile(`^([A-Za-z0-9+/]{76}|[A-Za-z0-9+/]{64})$`)

// wrappedHex is a whole line of hex as xxd -p wraps it.
var wrappedHex = regexp.MustCompile(`^[0-9a-fA-F]{60}$`)

// isWrapped reports whether a line is to be joined with the next one. A packet that is whole is not.
func isWrapped(text string) bool {
	if wrappedHex.MatchString(text) {
		b, err := hex.DecodeString(text)
		return err == nil && sense(b, explain.Auto) < allGood
	}
	return wrappedLine.MatchString(text) && !isHex(text)
}

func isHex(text string) bool { return onlyDigits.MatchString(text) }

// endWrapped joins the last line of base64, which is a shorter one, to those before it.
func (r *Reader) endWrapped(text string) []Piece {
	before := r.wrapped.String()
	r.wrapped.Reset()
	if len(text) <= 76 && lastLine.MatchString(text) && (r.isHex || !isHex(text)) {
		if p := r.piece(before+text, r.begun); !r.isHex || sense(p.Bytes, p.Transport) == allGood {
			return []Piece{p}
		}
	}
	p := r.piece(before, r.begun)
	r.line-- // it is counted again
	return append([]Piece{p}, r.Add(text)...)
}

// lastLine is how base64 ends.
var lastLine = regexp.MustCompile(`^[A-Za-z0-9+/]+={0,2}$`)

// Flush returns what the end of the input ends.
func (r *Reader) Flush() (found []Piece) {
	switch {
	case r.open > 0:
		found = append(found, r.endLiteral())
	case r.wrapped.Len() > 0:
		found = append(found, r.piece(r.wrapped.String(), r.begun))
		r.wrapped.Reset()
	}
	return append(append(found, r.endDump()...), r.endSniffed()...)
}

// piece is what a text holds. A line of a log or the heads of columns need hold no packet.
func (r *Reader) piece(text string, line int) Piece {
	p := Text(text)
	p.Line = line
	if p.Bytes == nil {
		switch {
		case isLog(text):
			p.Took, p.Skipped = "a line of a log without a packet", true
		case line == 1 && headLine.MatchString(text):
			p.Took, p.Skipped = "the heads of columns", true
		}
	}
	return p
}

// goOn takes a line of a literal that is not closed yet.
func (r *Reader) goOn(text string) []Piece {
	r.literal.WriteString("\n" + text)
	r.open += depth(text)
	if r.open <= 0 || r.literal.Len() > MaxInput || r.line-r.begun > maxLiteralLines {
		return []Piece{r.endLiteral()}
	}
	return nil
}

func (r *Reader) endLiteral() Piece {
	p := r.piece(r.literal.String(), r.begun)
	r.open = 0
	r.literal.Reset()
	return p
}

// maxLiteralLines bounds what one bracket that nobody closes can swallow.
const maxLiteralLines = 1000

// literalStart is how a literal begins that may go on in the next line.
var literalStart = regexp.MustCompile(`^(\w+\s*:?=\s*)?` +
	`((?:(?:const|static|unsigned|char|uint8_t|byte) )+\w*\s*\[\d*\]\s*=\s*\{|` +
	`\[\]byte\s*[({]|bytes(array)?(\.fromhex)?\s*\(|<Buffer|\(\s*b['"]|\[|\{|new byte|Buffer\.from\()`)

// depth is how many brackets a line leaves open.
func depth(text string) (open int) {
	for _, c := range text {
		switch c {
		case '(', '[', '{', '<':
			open++
		case ')', ']', '}', '>':
			open--
		}
	}
	return open
}

// endDump returns the dump, unless it is a packet with its headers, which the assembler takes.
func (r *Reader) endDump() []Piece {
	d := r.dump
	r.dump = dump{}
	switch {
	case len(d.bytes) == 0:
		return nil
	case r.sniffed.add(d.bytes, 0) || r.sniffed.add(frameless(d.bytes), 0):
		return nil
	}
	p := d.piece()
	p.Line = r.begun
	return []Piece{p}
}

// endSniffed returns what the packets of a sniffer have come to.
func (r *Reader) endSniffed() []Piece {
	found := r.sniffed.pieces()
	r.sniffed = assembler{}
	for i := range found {
		found[i].Took = "packets of tcpdump: " + found[i].Took
	}
	return found
}

// besideLine is one that a program writes beside a packet: tcpdump above it and at its start and end, xxd -i its length
// below it.
var besideLine = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d+ (\S+ +(In|Out) +)?(IP6?|ARP)\b|^tcpdump: |^listening on |` +
		`^unsigned int \w+_len = \d+;$`)
