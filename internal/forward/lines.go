package forward

import (
	"context"
	"fmt"
	"io"
)

// Lines is a sink that writes each record as a line. What it is written to is not synced: who reads it has it, or not.
type Lines struct{ To io.Writer }

// Deliver writes the batch at once.
func (l *Lines) Deliver(_ context.Context, batch []Item) error {
	if _, err := l.To.Write(linesOf(batch)); err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err) // nobody reads any more
	}
	return nil
}

// Close leaves the writer open.
func (l *Lines) Close() error { return nil }

// linesOf are the payloads, a line each.
func linesOf(batch []Item) (lines []byte) {
	for _, i := range batch {
		lines = append(append(lines, i.Payload...), '\n')
	}
	return lines
}
