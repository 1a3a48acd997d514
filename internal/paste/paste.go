// Package paste finds the packets in what people paste: hex as programs print it, dumps with offsets and text beside
// them, literals of languages, lines of logs, tables and files of packet sniffers. Where it guesses it says what it
// took the input for. Nothing that it reads can make it keep more than a few times the input, which is bounded.
package paste

import (
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

	sure bool // it is what Took says, whatever its bytes are
}

// Reader takes lines and returns what they hold. A dump and a literal may be several lines.
type Reader struct {
	line    int
	dump    dump
	sniffed assembler // of a dump with the headers of IP
	literal []string  // the lines of one that is not closed
	size    int       // of them, in bytes
	begun   int       // the first line of either
}

// Add takes the next line.
func (r *Reader) Add(line string) (found []Piece) {
	r.line++
	text := strings.TrimSpace(line)
	if r.literal != nil {
		return r.goOn(text)
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
	case text == "" || text[0] == '#' || isSnifferLine(text):
		return r.endDump()
	}
	found = append(r.endDump(), r.endSniffed()...)
	if opensLiteral(text) {
		r.literal, r.size, r.begun = []string{text}, len(text), r.line
		return found
	}
	return append(found, r.piece(text, r.line))
}

// Flush returns what the end of the input ends.
func (r *Reader) Flush() (found []Piece) {
	if r.literal != nil {
		found = append(found, r.piece(strings.Join(r.literal, "\n"), r.begun))
		r.literal = nil
	}
	return append(append(found, r.endDump()...), r.endSniffed()...)
}

func (r *Reader) piece(text string, line int) Piece {
	p := Text(text)
	p.Line = line
	return p
}

// goOn takes a line of a literal that is not closed yet.
func (r *Reader) goOn(text string) []Piece {
	r.literal = append(r.literal, text)
	r.size += len(text)
	if whole := strings.Join(r.literal, "\n"); !isOpen(whole) || r.size > MaxInput || len(r.literal) > maxLiteralLines {
		r.literal = nil
		return []Piece{r.piece(whole, r.begun)}
	}
	return nil
}

// maxLiteralLines bounds what one bracket that nobody closes can swallow.
const maxLiteralLines = 1000

// literalStart is how a literal begins that may go on in the next line.
var literalStart = regexp.MustCompile(`^(\w+\s*:?=\s*)?` +
	`(\[\]byte\s*[({]|bytes(array)?(\.fromhex)?\s*\(|<Buffer|\(\s*b['"]|\[|\{|new byte|Buffer\.from\()`)

func opensLiteral(text string) bool { return literalStart.MatchString(text) && isOpen(text) }

// isOpen reports whether a bracket is not closed.
func isOpen(text string) bool {
	depth := 0
	for _, c := range text {
		switch c {
		case '(', '[', '{', '<':
			depth++
		case ')', ']', '}', '>':
			depth--
		}
	}
	return depth > 0
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

// snifferLine is one that tcpdump writes above a packet, or at its start and end.
var snifferLine = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d+ (\S+ +(In|Out) +)?(IP6?|ARP)\b|^tcpdump: |^listening on `)

func isSnifferLine(text string) bool { return snifferLine.MatchString(text) }
