package main

import (
	"fmt"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// metric is the sum of a metric's samples, over all of its labels.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	_, body := s.get("/metrics")
	return sumOf(s.t, body, name)
}

// sumOf is metric for metrics that have been read.
func sumOf(t testing.TB, metrics, name string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(metrics) {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var value float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' ')+1:], &value); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// books are what is received of a kind, and what may become of it.
var books = []struct {
	received string
	became   []string
}{
	{"teltonika_records_received_total", []string{"teltonika_records_published_total",
		"teltonika_records_duplicate_total", "teltonika_records_dead_lettered_total", "teltonika_records_refused_total"}},
	{"teltonika_messages_received_total", []string{"teltonika_messages_stored_total",
		"teltonika_messages_answers_total", "teltonika_messages_dead_lettered_total", "teltonika_messages_refused_total"}},
}

// wantBalance waits until all that was received is accounted for: what devices have sent without waiting for an answer
// may still be on its way after they have gone.
func (s *server) wantBalance() {
	s.t.Helper()
	testkit.Succeeds(s.t, "the books balance", patience, func() error {
		_, metrics := s.get("/metrics")
		for _, b := range books {
			received, rest := sumOf(s.t, metrics, b.received), 0.0
			for _, name := range b.became {
				rest += sumOf(s.t, metrics, name)
			}
			if received != rest {
				return fmt.Errorf("%s %v, %v accounted for", b.received, received, rest)
			}
		}
		return nil
	})
}
