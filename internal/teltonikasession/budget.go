package teltonikasession

import (
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// Frames larger than firstFrame, which trackers send rarely, take their memory from a budget that all sessions share,
// from the first byte behind the header to the ACK. When it is used up a session leaves the frame in the socket,
// and the device waits.
const (
	largeFrameBudget = 64 << 20 // bytes of frames, and about three times that with what is made of them
	budgetPatience   = 10 * time.Second
)

// errBudget: no memory for a large frame within budgetPatience.
var errBudget = errors.New("too many large frames at once")

// budget is a number of large frames that may be in hand.
type budget chan struct{}

func newBudget(maxFrameBytes int) budget {
	return make(budget, max(4, largeFrameBudget/maxFrameBytes))
}

// take waits for room for one large frame, but not when the server is stopping.
func (b budget) take(stopping <-chan struct{}) error {
	select {
	case b <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(budgetPatience)
	defer timer.Stop()
	select {
	case b <- struct{}{}:
		return nil
	case <-timer.C:
		return errBudget
	case <-stopping:
		return &partial{error: ingest.ErrDraining}
	}
}

func (b budget) give() { <-b }
