package authority

import (
	"context"
	"errors"
	"io"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
)

// NewFile returns the list in a text file, which need not exist yet: one identifier a line. Blank lines, and what
// follows a #, are skipped. Lines that hold anything else are reported and do not spoil the others.
func NewFile(path string) *source.File[*set] { return source.NewFile(path, parseLines) }

func parseLines(ctx context.Context, r io.Reader) (*set, error) {
	var b builder
	err := source.Lines(ctx, r, func(number int, line []byte) error {
		err := add(&b, line)
		if errors.Is(err, errNotIdentifier) {
			b.skipped.add("line " + strconv.Itoa(number))
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.build(), nil
}
