package ops

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// How the engine is watched. A failure or recovery shows within probeInterval + probeTimeout, and what is older
// than staleAfter is not shown at all.
const (
	probeInterval = 2 * time.Second
	probeTimeout  = 4 * time.Second
	staleAfter    = 8 * time.Second
)

// Monitor asks the engine again and again whether it would store a record, so that /readyz and /metrics answer
// at once even while the engine hangs.
type Monitor struct {
	probe  func(context.Context) (engine.Status, error)
	latest atomic.Pointer[observation]
	growth growth // used by Run only
}

// observation is what one probe has found. The status may be known although the engine does not store.
type observation struct {
	at     time.Time
	status engine.Status
	err    error

	full  time.Duration // until the engine's memory is full
	fills bool          // whether it will be
}

// NewMonitor returns a monitor that has not looked yet, and registers the engine's figures.
func NewMonitor(probe func(context.Context) (engine.Status, error), r prometheus.Registerer) *Monitor {
	m := &Monitor{probe: probe}
	m.latest.Store(&observation{err: errors.New("not asked yet")})
	r.MustRegister((*engineFigures)(m))
	return m
}

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		m.look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look probes once. A probe that does not return in time is a failure, shown at once and waited for.
func (m *Monitor) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	result := make(chan *observation, 1)
	go func() {
		status, err := m.probe(ctx)
		result <- &observation{at: time.Now(), status: status, err: err}
	}()
	select {
	case o := <-result:
		m.note(o)
	case <-ctx.Done():
		m.note(&observation{at: time.Now(), err: fmt.Errorf("no answer within %v", probeTimeout)})
		m.note(<-result)
	}
}

func (m *Monitor) note(o *observation) {
	if o.status.Known {
		m.growth.add(o.at, o.status)
		o.full, o.fills = m.growth.full()
	}
	m.latest.Store(o)
}

// leastShards is how many shards have to store for the engine to be ready.
const leastShards = 1

// unavailable are the shards that do not store, each with its reason.
func (o *observation) unavailable() (failed []error) {
	for _, s := range o.status.Shards {
		if s.Err != nil {
			failed = append(failed, fmt.Errorf("shard %s does not store: %w", s.Name, s.Err))
		}
	}
	return failed
}

// Unavailable are the shards that do not store, while the engine is ready because others do.
func (m *Monitor) Unavailable() []error {
	if m.Err() != nil {
		return nil
	}
	return m.latest.Load().unavailable()
}

// Err says why the engine is not ready, nil if it is.
func (m *Monitor) Err() error {
	o := m.latest.Load()
	if o.err != nil {
		return o.err
	}
	if failed := o.unavailable(); len(failed) > 0 && len(o.status.Shards)-len(failed) < leastShards {
		return errors.Join(failed...)
	}
	if age := time.Since(o.at); age > staleAfter {
		return fmt.Errorf("no answer for %v", age.Round(time.Second))
	}
	return nil
}
