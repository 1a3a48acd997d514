package terminal

import (
	"os"

	"github.com/mattn/go-isatty"
)

// Piece is a text of one colour.
type Piece struct {
	Colour Colour
	Text   []byte
}

// Colour is how a text is shown, where colours are.
type Colour string

// The colours. The zero value is the terminal's own.
const (
	Faint  Colour = "2"
	Red    Colour = "31"
	Yellow Colour = "33"
	Cyan   Colour = "36"
)

// IsTerminal reports whether what is written goes to a terminal.
func (w *Writer) IsTerminal() bool { return IsTerminal(w.out) }

// IsTerminal reports whether what is written or read is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// HasColours reports whether it goes to a terminal whose owner wants colours (https://no-color.org).
func (w *Writer) HasColours() bool {
	return w.IsTerminal() && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// WritePieces writes pieces at once, each in its colour. Their texts are escaped as Write does, each on its own.
func (w *Writer) WritePieces(pieces ...Piece) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var line []byte
	for _, p := range pieces {
		if p.Colour != "" {
			line = append(append(append(line, "\x1b["...), p.Colour...), 'm')
		}
		line = escape(line, p.Text, "\n\t")
		if p.Colour != "" {
			line = append(line, "\x1b[0m"...)
		}
	}
	_, err := w.out.Write(line)
	return err
}
