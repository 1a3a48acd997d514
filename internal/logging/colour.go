package logging

import (
	"bytes"
	"io"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// painted shows the lines of a [slog.TextHandler] in colours, where w is a terminal that has them.
func painted(w io.Writer) io.Writer {
	if screen, ok := w.(*terminal.Writer); ok && screen.HasColours() {
		return painter{screen}
	}
	return w
}

// painter gets whole lines, which begin with time=… level=…
type painter struct{ *terminal.Writer }

// levelColours are those of lines that somebody should look at.
var levelColours = map[string]terminal.Colour{
	"level=DEBUG": terminal.Faint, "level=INFO": terminal.Cyan, "level=WARN": terminal.Yellow,
	"level=ERROR": terminal.Red, "level=FATAL": terminal.Red,
}

func (p painter) Write(line []byte) (int, error) {
	at, rest, _ := bytes.Cut(line, []byte(" "))
	level, rest, found := bytes.Cut(rest, []byte(" "))
	colour := levelColours[string(level)]
	if !found || colour == "" {
		return p.Writer.Write(line)
	}
	space := terminal.Piece{Text: []byte(" ")}
	err := p.WritePieces(terminal.Piece{Colour: terminal.Faint, Text: at}, space,
		terminal.Piece{Colour: colour, Text: level}, space, terminal.Piece{Text: rest})
	if err != nil {
		return 0, err
	}
	return len(line), nil
}
