package sqlitestore

import (
	"fmt"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// BenchmarkCommand carries a command of one of a thousand devices from Submit to its answer: three transactions, each
// on disk. It notes how much of the time each took.
func BenchmarkCommand(b *testing.B) {
	s := start(b, b.TempDir())
	var submit, begin, settle time.Duration
	count := 0
	for b.Loop() {
		c := newCommand(fmt.Sprint("command-", count))
		c.IMEI = fmt.Sprintf("35630704%07d", count%1000)
		count++
		submit += measure(func() error { _, _, err := s.Submit(b.Context(), c); return err }, b)
		begin += measure(func() error { _, err := s.Begin(b.Context(), c.ID, command.Timeouts{}); return err }, b)
		settle += measure(func() error {
			match, e, err := s.Settle(b.Context(), answer(c.IMEI), command.Timeouts{})
			if err == nil && (match != command.MatchAnswer || e.ID != c.ID) {
				err = fmt.Errorf("%s of %q", match, e.ID)
			}
			return err
		}, b)
	}
	for name, took := range map[string]time.Duration{"submit": submit, "begin": begin, "settle": settle} {
		b.ReportMetric(float64(took.Microseconds())/float64(count), name+"-us/op")
	}
}

// BenchmarkLookup is a transaction that writes nothing.
func BenchmarkLookup(b *testing.B) {
	s := start(b, b.TempDir())
	submit(b, s, "first")
	for b.Loop() {
		if _, err := s.Lookup(b.Context(), "first"); err != nil {
			b.Fatal(err)
		}
	}
}

func measure(call func() error, b *testing.B) time.Duration {
	begin := time.Now()
	if err := call(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}
