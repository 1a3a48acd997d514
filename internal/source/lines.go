package source

import (
	"bufio"
	"bytes"
	"context"
	"io"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// longestLine is the most that is looked at of a line. A longer one holds more than any entry.
const longestLine = 4096

// Lines calls entry with each line that is not blank, by its number from 1, without blanks around it and without what
// follows a #. It ends with the first error, entry's or ctx's.
func Lines(ctx context.Context, r io.Reader, entry func(number int, line []byte) error) error {
	lines := bufio.NewReaderSize(r, longestLine)
	for number := 1; ; number++ {
		line, long, err := lines.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, byteOrderMark)
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := entry(number, line); err != nil {
				return err
			}
		}
		for long && err == nil {
			_, long, err = lines.ReadLine()
		}
	}
}
