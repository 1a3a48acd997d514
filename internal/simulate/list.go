package simulate

import (
	"fmt"
	"io"
	"sync"
)

// list is a list of lines to which all devices add. A nil list takes none.
type list struct {
	what string // for the error
	mu   sync.Mutex
	w    io.Writer
	err  error // of the first line that could not be written
}

func newList(what string, w io.Writer) *list {
	if w == nil {
		return nil
	}
	return &list{what: what, w: w}
}

func (l *list) write(lines []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		if _, err := l.w.Write(lines); err != nil {
			l.err = fmt.Errorf("%s: %w", l.what, err)
		}
	}
	return l.err
}

func (l *list) error() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// note adds lines to a list. If the list cannot be written, the run ends: it would be worthless.
func (f *fleet) note(l *list, lines []byte) error {
	err := l.write(lines)
	if err != nil {
		f.abort()
	}
	return err
}
