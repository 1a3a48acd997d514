package mirror

import (
	"errors"
	"sync/atomic"
	"time"
)

// errNotAcknowledged says that the old platform has not acknowledged a frame, or not its number of records.
var errNotAcknowledged = errors.New("the old platform has not acknowledged the frame")

// Receipt is the old platform's answer to a frame, where it has to acknowledge too.
type Receipt struct {
	mirror *Mirror
	answer chan error
	left   atomic.Bool
}

// Confirmed waits for the answer, for Options.AckTimeout or until stop is closed, and reports whether it is the right
// one. If it is not there by then the device sends the frame again, and this copy is not brought to the old platform
// any more, unless it is on its way. A nil Receipt is confirmed.
func (r *Receipt) Confirmed(stop <-chan struct{}) bool {
	if r == nil {
		return true
	}
	timer := time.NewTimer(r.mirror.AckTimeout)
	defer timer.Stop()
	err := errNotAcknowledged
	select {
	case err = <-r.answer:
	case <-timer.C:
		r.left.Store(true)
	case <-stop:
		r.left.Store(true)
	}
	if err != nil {
		r.mirror.metrics.withheld.Inc()
	}
	return err == nil
}

// settle gives the receipt, once.
func (r *Receipt) settle(err error) {
	if r == nil {
		return
	}
	select {
	case r.answer <- err:
	default:
	}
}

// abandoned reports whether who waited has left.
func (r *Receipt) abandoned() bool { return r != nil && r.left.Load() }
