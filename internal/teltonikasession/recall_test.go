package teltonikasession

import (
	"slices"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// TestFirstFramesAreLookedFor until the device has sent enough that nobody had stored, on each of its connections.
func TestFirstFramesAreLookedFor(t *testing.T) {
	serve(t, func(s *service) {
		var recalled []bool
		s.engine.Fail(func(b *engine.Batch) error {
			if len(b.Records) > 0 {
				recalled = append(recalled, b.Records[0].Doubt == engine.Arrived)
			}
			return nil
		})
		send := func(d *tracker, frame []byte) {
			d.send(frame)
			d.expect(ack(1))
		}
		d := s.login()
		twice := goodFrame(1)
		send(d, goodFrame(1))
		send(d, twice)
		send(d, twice)
		for range newInARow + 2 {
			send(d, goodFrame(1))
		}
		d = s.login()
		for range newInARow + 1 {
			d.send(goodFrame(0))
			d.expect(ack(0))
		}
		for range newInARow + 1 {
			send(d, goodFrame(1))
		}
		want := []bool{true, true, true, true, true, false, false, true, true, true, false}
		if !slices.Equal(recalled, want) {
			t.Errorf("looked for %v, want %v", recalled, want)
		}
	})
}
