package device

import (
	"context"
	"errors"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
)

// Ask sends the device the command getver, by the way of all commands. It does not wait for the answer, which comes to
// Memory.Answered. ErrRefused is in the chain of an error that no repetition helps against.
type Ask func(ctx context.Context, imei string) error

// ErrRefused means that the policy lets nobody ask.
var ErrRefused = errors.New("the command policy refuses getver")

const (
	// maxAsked is how often a device is asked whose answer does not come, once on a connection at most.
	maxAsked = 3
	// maxAsking bounds the devices that wait to be asked. One that finds no room is asked on its next connection.
	maxAsking = 4096
	// askPause is between two questions of an instance, so that a fleet that comes back at once is no burst.
	askPause = 50 * time.Millisecond
	// askLoading is how long a question waits for the store, which may know the model.
	askLoading = 10 * time.Second
)

// learner asks devices for their models.
type learner struct {
	memory *Memory
	asking chan *Device
}

func newLearner(m *Memory) *learner {
	return &learner{memory: m, asking: make(chan *Device, maxAsking)}
}

// Acknowledged says that the first frame of a connection is acknowledged: only now do devices heed commands. The device
// is asked for its model, if that is wanted and not known. It waits for nothing.
func (d *Device) Acknowledged() {
	if d == nil || d.memory.learner == nil {
		return
	}
	l := d.memory.learner
	if d.claimed() || d.knowsModel() {
		return
	}
	select {
	case l.asking <- d:
	default:
	}
}

func (l *learner) run(ctx context.Context) {
	for {
		select {
		case d := <-l.asking:
			l.ask(ctx, d)
		case <-ctx.Done():
			return
		}
		if !backoff.Pause(ctx, askPause) {
			return
		}
	}
}

// ask asks the device, unless its model turns out to be known, or it has been asked often enough.
func (l *learner) ask(ctx context.Context, d *Device) {
	loading, cancel := context.WithTimeout(ctx, askLoading)
	_ = d.Await(loading) // of a store that is away nothing is learnt
	cancel()
	if d.knowsModel() || !d.countAsked() {
		return
	}
	m := l.memory
	err := m.Options.Ask(ctx, d.key)
	switch {
	case err == nil:
		m.Metrics.asked(getverAsked)
	case ctx.Err() != nil:
	case errors.Is(err, ErrRefused):
		m.Metrics.asked(getverRefused)
		m.Logger.Warn("device not asked for its model", "imei", d.key, "error", err)
	default:
		m.Metrics.asked(getverFailed)
		m.Logger.Warn("device not asked for its model", "imei", d.key, "error", err)
	}
}

// countAsked notes that the device is asked, and reports false if it has been asked often enough.
func (d *Device) countAsked() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked >= maxAsked {
		return false
	}
	d.asked++
	d.revision++
	return true
}
