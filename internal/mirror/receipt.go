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

// askEvery is how often Confirmed asks whether the answer is still wanted.
const askEvery = time.Second

// Confirmed waits for the answer, for Options.AckTimeout, until stop is closed or wanted says no, which it asks every
// second. It reports whether the answer is the right one. If it is not there by then the device sends the frame again,
// and this copy is not brought to the old platform any more, unless it is on its way. A nil Receipt is confirmed.
func (r *Receipt) Confirmed(stop <-chan struct{}, wanted func() bool) bool {
	if r == nil {
		return true
	}
	err := r.await(stop, wanted)
	if err != nil {
		r.mirror.metrics.withheld.Inc()
	}
	return err == nil
}

func (r *Receipt) await(stop <-chan struct{}, wanted func() bool) error {
	timer, ask := time.NewTimer(r.mirror.AckTimeout), time.NewTicker(askEvery)
	defer timer.Stop()
	defer ask.Stop()
	for {
		select {
		case err := <-r.answer:
			return err
		case <-ask.C:
			if wanted() {
				continue
			}
		case <-timer.C:
		case <-stop:
		}
		r.left.Store(true)
		return errNotAcknowledged
	}
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
