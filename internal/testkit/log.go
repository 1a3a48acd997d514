package testkit

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// Log keeps what is written to it, by any number of goroutines and processes, while it is read. Its zero value is
// empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// NewLog returns a log that a failed test shows.
func NewLog(tb testing.TB) *Log {
	l := new(Log)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("log:\n%s", l)
		}
	})
	return l
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Has reports whether every one of the parts is in it.
func (l *Log) Has(parts ...string) bool {
	all := l.String()
	for _, part := range parts {
		if !strings.Contains(all, part) {
			return false
		}
	}
	return true
}

// Count is how often the text is in it.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
