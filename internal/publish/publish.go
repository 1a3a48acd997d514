// Package publish brings frames into the engine: bounded, whole, and confirmed.
//
// Sessions admit a frame, fill it and publish it; Publish returns when everything in it is stored, or refused.
// Throughput comes from group commit: each of the engine's lanes writes one batch at a time, and whatever
// sessions publish meanwhile gathers into the next one. All frames of one device go through one lane, so a
// device's order is kept, and the lane alone knows what it stored lately, so duplicates cost no lock.
//
//	session ─ Admit ─ fill ─ Publish ─┐                      ┌─ engine.Store(lane 0)
//	session ─ Admit ─ fill ─ Publish ─┼─ inbox of the lane ──┤
//	session ─ Admit ─ fill ─ Publish ─┘   of the device      └─ engine.Store(lane n)
package publish

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// Options are the publisher's settings. All fields but Shards are needed.
type Options struct {
	Engine       engine.Engine
	Shards       bool          // lanes write to parts of the engine that fail by themselves
	Capacity     int           // items admitted and not yet stored, at least LargestFrame
	LargestFrame int           // items that one frame may have; every quota has room for so many
	Timeout      time.Duration // from admission to refusal of a frame that is not confirmed
	Metrics      *Metrics
	Logger       *slog.Logger
}

// Publisher is safe for use by many goroutines.
type Publisher struct {
	options Options
	lanes   []*lane
	frames  sync.Pool
	queued  atomic.Int64 // items of the capacity in use
	bytes   atomic.Int64 // of the published frames' buffers
	closed  atomic.Bool
	empty   chan struct{} // one message when the queue gets empty after Drain began
	health  health.Health // of the engine, as the log tells it
	secret  secret
	pulse   pulse

	recognises bool // the engine knows records again by itself

	ended   atomic.Bool // the lanes have
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New starts a publisher. It stops with Close.
func New(o Options) *Publisher {
	ctx, stop := context.WithCancel(context.Background())
	p := &Publisher{options: o, stop: stop, secret: newSecret(), empty: make(chan struct{}, 1)}
	p.pulse.began = time.Now()
	p.running.Go(func() { p.pulse.run(ctx) })
	p.frames.New = func() any { return newFrame() }
	if r, ok := o.Engine.(engine.Recogniser); ok {
		p.recognises = r.RecognisesRecords()
	}
	o.Metrics.observe(p)
	for i := range o.Engine.Lanes() {
		l := newLane(p, i, dedupLimit/o.Engine.Lanes())
		p.lanes = append(p.lanes, l)
		p.running.Go(func() {
			defer logging.ExitOnPanic(o.Logger)
			l.run(ctx)
		})
	}
	return p
}

// Admit reserves room for a frame of n items, all or nothing, in the queue and in the quota, which may be nil. It
// returns an empty frame of the device, which must be given back with Publish, Submit or Discard. The error is
// ErrOverflow or ErrClosed.
func (p *Publisher) Admit(quota *Quota, deviceID string, n int) (*Frame, error) {
	if p.closed.Load() {
		return nil, ErrClosed
	}
	f := p.frames.Get().(*Frame)
	f.DeviceID, f.admitted, f.quota = deviceID, n, quota
	f.lane = p.lanes[p.options.Engine.Lane(deviceID)]
	f.device = p.secret.device(deviceID)
	withinQuota, withinLane := quota.take(n), f.lane.take(n)
	if queued := p.queued.Add(int64(n)); !withinQuota || !withinLane || queued > int64(p.options.Capacity) {
		p.release(f)
		p.options.Metrics.overflow.Inc()
		return nil, ErrOverflow
	}
	return f, nil
}

// Discard gives back an admitted frame that is not published.
func (p *Publisher) Discard(f *Frame) { p.release(f) }

// Publish stores the frame and returns when every item is stored at the engine's durability, or with the reason
// why the frame is refused. The frame is no longer the caller's, whatever the result.
func (p *Publisher) Publish(f *Frame) (Outcome, error) {
	if f.items() == 0 {
		p.release(f)
		return Outcome{}, nil
	}
	if err := p.Submit(f); err != nil {
		return Outcome{}, err
	}
	return p.Wait(f)
}

// Submit is the part of Publish that waits for nothing: frames of one device are stored in the order in which they are
// submitted. Without an error Wait has to be called; with one the frame is no longer the caller's.
func (p *Publisher) Submit(f *Frame) error {
	f.bytes = int64(cap(f.Buffer))
	withinQuota, withinLane := f.quota.takeBytes(f.bytes), f.lane.takeBytes(f.bytes)
	if p.bytes.Add(f.bytes) > p.maxBytes() || !withinQuota || !withinLane {
		p.release(f)
		p.options.Metrics.overflow.Inc()
		return ErrOverflow
	}
	f.submitted = time.Now()
	f.timer.Reset(p.options.Timeout)
	l := f.lane
	l.inbox.push(f)     // which may be settled and be another device's at once
	if p.ended.Load() { // asked after the push: Close takes what was there before it said so
		l.refuseInbox()
	}
	return nil
}

// maxBytes bounds the memory of what waits, beside the number of records: eight times what usual records of the whole
// capacity take, so that only frames of very large records meet it.
func (p *Publisher) maxBytes() int64 { return max(64<<20, int64(p.options.Capacity)*8<<10) }

// Queued is the number of records admitted and not yet stored.
func (p *Publisher) Queued() int { return int(p.queued.Load()) }

// Drain refuses new frames and waits until all admitted ones are settled, or ctx ends.
func (p *Publisher) Drain(ctx context.Context) error {
	p.closed.Store(true)
	for p.queued.Load() > 0 {
		select {
		case <-p.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close refuses new frames and those that are not stored yet, and waits for the lanes to end.
func (p *Publisher) Close() {
	p.closed.Store(true)
	p.stop()
	p.running.Wait()
	p.ended.Store(true)
	for _, l := range p.lanes {
		l.refuseInbox()
	}
}

func (p *Publisher) release(f *Frame) {
	n := f.admitted
	p.bytes.Add(-f.bytes)
	f.quota.give(n, f.bytes)
	f.later.give(n, f.bytes)
	f.lane.quota.give(n, f.bytes)
	f.reset()
	p.frames.Put(f)
	p.unqueue(n)
}

func (p *Publisher) unqueue(n int) {
	if p.queued.Add(int64(-n)) == 0 && p.closed.Load() {
		select {
		case p.empty <- struct{}{}:
		default:
		}
	}
}
