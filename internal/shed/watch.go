package shed

import (
	"context"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// How Watch sheds: a round is what is above, but one percent a second at most.
const (
	every       = 10 * time.Second // how often it looks, and how long a round takes
	mostPercent = 10               // of the devices in a round
	slack       = 20               // one part in so many of Options.Above is no reason to begin
)

// How Watch finds out that shedding does not help: so long after a round devices have had the time to come back, and
// more than half of those that were shed have. It then pauses, doubled from one time to the other.
const (
	comeBack = 30 * time.Second
	minPause = 5 * time.Minute
	maxPause = 2 * time.Hour
)

// Watch sheds what is above Options.Above until ctx ends. Where all instances are above it, or there is no other,
// devices come back, and it only tries now and then.
func (s *Shedder) Watch(ctx context.Context) {
	if s.Above == 0 {
		return
	}
	useless := backoff.Backoff{First: minPause, Max: maxPause}
	for backoff.Pause(ctx, every) {
		before := s.connected()
		if before <= s.Above+s.Above/slack {
			continue
		}
		round := Part{Connections: min(before-s.Above, 1+before*mostPercent/100), Over: every}
		if _, err := s.Begin(round, ByThreshold, "SHED_ABOVE"); err != nil {
			continue // somebody else sheds
		}
		if !backoff.Pause(ctx, every+comeBack) {
			return
		}
		asked := s.asked()
		if asked == 0 {
			continue // all had come just now, or have a command in hand: that says nothing
		}
		if before-s.connected() > asked/2 {
			useless.Reset()
			continue
		}
		pause := useless.Next()
		s.Logger.Warn("shedding does not help, as many devices have come", "connections", s.connected(),
			"above", s.Above, "retry_in", pause)
		if !backoff.Pause(ctx, pause) {
			return
		}
	}
}

func (s *Shedder) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.Asked
}
