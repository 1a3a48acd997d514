package explain

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// The columns of the text: offset, bytesPerRow bytes in hex, and the meaning, which is wrapped.
const (
	bytesPerRow  = 10 // so that offsets, which are decimal like those in errors, are round
	hexWidth     = 3*bytesPerRow - 1
	meaningWidth = 62
)

// WriteText writes the packet as a summary and one line or more for each field, every byte once, and ends with
// what the server answers.
func (p *Packet) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, p.summary())
	if !p.OK() {
		fmt.Fprintf(out, "error: %v\n", p.Err())
	}
	if len(p.Raw) > 0 {
		digits := max(4, len(fmt.Sprint(p.Offset+len(p.Raw))))
		p.Annotate(func(f Field) { writeField(out, f, digits) })
		writeDevice(out, p)
		writeAnswer(out, p)
	}
	return out.Flush()
}

// writeDevice says by what the elements were read.
func writeDevice(out *bufio.Writer, p *Packet) {
	if p.reader == nil || len(p.records()) == 0 {
		return
	}
	var families []string
	for _, f := range candidates(p.reader) {
		families = append(families, f.String())
	}
	last := len(families) - 1
	text := families[last]
	if last > 0 {
		text = strings.Join(families[:last], ", ") + " or " + text
	}
	if p.reader.Model() != "" {
		text += ", " + p.reader.Model()
	}
	if p.reader.By() == meaning.ByElements {
		text += ", told from the elements"
	}
	fmt.Fprintf(out, "family: %s; dictionary %s\n", text, p.reader.Dictionary().Version())
}

// summary is the packet in one line.
func (p *Packet) summary() string {
	status := "ok"
	if !p.OK() {
		status = "NOT OK"
	}
	return fmt.Sprintf("%s, %s: %s", p.title(), plural(len(p.Raw), "byte"), status)
}

func (p *Packet) title() string {
	switch p.Kind {
	case KindKeepAlive:
		return "TCP keep-alive"
	case KindLogin:
		return strings.TrimSpace("TCP login " + p.Login)
	case KindPadding:
		return "zeros behind the packet, as a buffer has that is longer than it"
	case KindAck:
		return fmt.Sprintf("UDP answer, %s accepted", plural(p.Ack.Accepted, "record"))
	case KindData:
		return p.dataTitle()
	}
	return "not a packet"
}

func (p *Packet) dataTitle() string {
	title := "TCP frame"
	if p.Transport == UDP {
		title = strings.TrimSpace("UDP packet " + p.Datagram.IMEI)
	}
	codec, known := p.Codec()
	if known {
		title += ", " + codecName(codec)
	}
	if n, ok := p.Count(); ok {
		if p.Messages != nil {
			return title + ", " + plural(len(p.Messages.Messages), "message")
		}
		if codec.IsAVL() {
			return title + ", " + plural(n, "record")
		}
	}
	return title
}

func writeAnswer(out *bufio.Writer, p *Packet) {
	answer, reason := p.Answer()
	if answer == nil {
		fmt.Fprintf(out, "answer: none (%s)\n", reason)
		return
	}
	fmt.Fprintf(out, "answer: %x (%s)\n", answer, reason)
}

// writeField writes the field's bytes on the left and its meaning on the right, in as many rows as the longer of
// them needs.
func writeField(out *bufio.Writer, f Field, digits int) {
	meaning := f.Name
	if f.Value != "" {
		meaning += " = " + f.Value
	}
	lines := wrap(meaning, meaningWidth-2*f.Depth)
	raw := hexOf(f.Raw, f.Hidden)
	for offset := f.Offset; len(raw) > 0 || len(lines) > 0; offset += bytesPerRow {
		row := raw[:min(bytesPerRow, len(raw))]
		raw = raw[len(row):]
		left := strings.Repeat(" ", digits)
		if len(row) > 0 {
			left = fmt.Sprintf("%0*d", digits, offset)
		}
		line := ""
		if len(lines) > 0 {
			line, lines = strings.Repeat("  ", f.Depth)+lines[0], lines[1:]
		}
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%s  %-*s  %s", left, hexWidth, strings.Join(row, " "), line), " "))
	}
	for i, line := range wrap(f.Problem, meaningWidth+hexWidth-1) {
		mark := "^^"
		if i > 0 {
			mark = "  "
		}
		fmt.Fprintf(out, "%*s  %s %s\n", digits, "", mark, line)
	}
}

// wrap breaks text into lines of at most width characters, at spaces where it can. No text is no line.
func wrap(text string, width int) []string {
	var lines []string
	for text != "" {
		if utf8.RuneCountInString(text[:min(len(text), 4*width)]) <= width && len(text) <= 4*width {
			return append(lines, text)
		}
		end := 0 // of the line, in bytes
		for range width {
			_, n := utf8.DecodeRuneInString(text[end:])
			end += n
		}
		if space := strings.LastIndexByte(text[:end+1], ' '); space > 0 {
			end = space
		}
		lines = append(lines, text[:end])
		text = strings.TrimPrefix(text[end:], " ")
	}
	return lines
}
