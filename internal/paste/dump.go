package paste

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// row is a line of a dump: an offset, bytes, and mostly the same as text.
type row struct {
	offset int64
	bytes  []byte
	style  string
	base   int  // of the offset; 0: 16
	words  bool // of hexdump without -C: numbers of this machine's byte order, not bytes
}

// The styles of dumps.
const (
	styleXXD     = "xxd"
	styleTCPDump = "tcpdump -X"
	styleHexdump = "hexdump -C"
	styleOD      = "od -t x1"
)

var (
	colonRow  = regexp.MustCompile(`^\s*(0x)?([0-9a-fA-F]{4,16}):\s+(\S.*)$`)
	spacesRow = regexp.MustCompile(`^\s*([0-9a-fA-F]{4,16})(\s{2,}|\t)([0-9a-fA-F]{2}(\s.*)?)$`)
	barRow    = regexp.MustCompile(`^\s*([0-9a-fA-F]{4,16})\s+((?:[0-9a-fA-F]{2}\s+)+)[|>].*[|<]\s*$`)
	odRow     = regexp.MustCompile(`^([0-7]{7}|[0-9a-fA-F]{6})((?: [0-9a-fA-F]{2})+)\s*(>.*<)?$`)
	wordsRow  = regexp.MustCompile(`^([0-9a-fA-F]{7})((?:\s+[0-9a-fA-F]{4})+)\s*$`)
	gap       = regexp.MustCompile(`\s{2,}|\t`)
	wideGap   = regexp.MustCompile(`\s{3,}|\t`)
	pairs     = regexp.MustCompile(`^[0-9a-fA-F]{2}(\s+[0-9a-fA-F]{2})*$`)
	groups    = regexp.MustCompile(`^[0-9a-fA-F]{2,}( [0-9a-fA-F]{2,})*$`)
)

// parseRow reads a line of a dump. What it takes for an offset is never data.
func parseRow(line string) (r row, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	switch m := colonRow.FindStringSubmatch(line); {
	case m != nil:
		body := strings.TrimSpace(gap.Split(m[3], 2)[0])
		if !groups.MatchString(body) {
			return r, false
		}
		r.style = styleXXD
		if m[1] != "" {
			r.style = styleTCPDump
		}
		return r, r.set(m[2], body)
	}
	if m := odRow.FindStringSubmatch(line); m != nil {
		if r.style = styleOD; len(m[1]) == 7 {
			r.base = 8
		}
		return r, r.set(m[1], m[2])
	}
	if m := barRow.FindStringSubmatch(line); m != nil {
		r.style = styleHexdump
		return r, r.set(m[1], m[2])
	}
	if m := spacesRow.FindStringSubmatch(line); m != nil {
		body := strings.TrimSpace(wideGap.Split(m[3], 2)[0])
		r.style = styleHexdump
		return r, pairs.MatchString(body) && r.set(m[1], body)
	}
	if m := wordsRow.FindStringSubmatch(line); m != nil {
		r.style, r.words = "hexdump", true
		return r, r.set(m[1], m[2])
	}
	return r, false
}

// set reads offset and bytes.
func (r *row) set(offset, body string) bool {
	digits := strings.Join(strings.Fields(body), "")
	var err, wrong error
	r.bytes, err = hex.DecodeString(digits)
	r.offset, wrong = strconv.ParseInt(offset, cmp.Or(r.base, 16), 64)
	return err == nil && wrong == nil && len(r.bytes) > 0
}

// dump is the rows of one.
type dump struct {
	bytes []byte
	first row
	last  []byte // the bytes of the last row
	star  bool   // rows like it are left out
}

// endsAt takes the lines of a dump that have no bytes: its length, and the star for rows that repeat the one before.
func (d *dump) endsAt(text string) bool {
	if len(d.bytes) == 0 {
		return false
	}
	if text == "*" {
		d.star = true
		return true
	}
	n, err := strconv.ParseInt(text, cmp.Or(d.first.base, 16), 64)
	d.fill(n)
	return err == nil && len(text) >= 6 && len(text) <= 8 && (n == d.next() || n == d.next()-1 && d.first.words)
}

// next is the offset of the row that follows.
func (d *dump) next() int64 { return d.first.offset + int64(len(d.bytes)) }

// maxRepeated is how many bytes one star can stand for.
const maxRepeated = 64 << 10

// fill adds the rows that a star stands for, up to the offset.
func (d *dump) fill(offset int64) {
	last := int64(len(d.last))
	more := offset - d.next()
	if !d.star || last == 0 || more <= 0 || more > maxRepeated || more%last != 0 {
		return
	}
	d.star = false
	d.bytes = append(d.bytes, bytes.Repeat(d.last, int(more/last))...)
}

// follows reports whether a row belongs to the dump that has begun.
func (d *dump) follows(r row) bool {
	if len(d.bytes) == 0 || r.style != d.first.style || r.offset == 0 {
		return false
	}
	d.fill(r.offset)
	return r.offset == d.next() && len(d.bytes)+len(r.bytes) <= MaxInput
}

func (d *dump) add(r row) {
	if len(d.bytes) == 0 {
		d.first = r
	}
	d.bytes, d.last = append(d.bytes, r.bytes...), r.bytes
}

// piece is what the dump holds.
func (d *dump) piece() Piece {
	p := Piece{Bytes: d.bytes, sure: true,
		Took: fmt.Sprintf("the output of %s, without its columns of offsets and text", d.first.style)}
	if d.first.words {
		for i := 0; i+1 < len(d.bytes); i += 2 {
			d.bytes[i], d.bytes[i+1] = d.bytes[i+1], d.bytes[i]
		}
		p.Took = "the output of hexdump, whose words of two bytes are turned round"
		p.Hint = "hexdump -C prints bytes as they are; of an odd number of bytes the last zero is not yours"
	}
	if d.first.offset > 0 {
		p.Hint = fmt.Sprintf("the dump begins at offset %d: what is before it is not here", d.first.offset)
	}
	return best([]Piece{p})
}
