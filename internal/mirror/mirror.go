// Package mirror sends what devices send to an old platform as well, which sees each of them as a device of its own.
//
// A session leaves a copy of each frame and goes on. One goroutine writes the copies to a buffer on disk, and one for
// each device brings them to the old platform, in order, on a connection that begins with the device's login:
//
//	Offer → inbox → buffer → queue of the device → login, frame, answer
//
// Nothing in here holds up a session, unless the old platform has to acknowledge too; see [Receipt].
package mirror

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// What is bounded beside the buffer.
const (
	maxInbox    = 8 << 20  // bytes that wait to be written to the buffer
	maxDials    = 64       // connections that are being made at once
	deviceParts = 16       // one device may take so much of the buffer, one part in so many
	maxRefused  = 64 << 10 // bytes that wait for a device that the old platform refuses
	lookFor     = 64       // queues that are looked at for one whose device has left
)

const (
	answerTime = 10 * time.Second // for a connection, for a login's answer, for a frame's
	firstPause = time.Second      // after a failure; twice as long after each further one
	lookEvery  = time.Second      // at the buffer, when nothing comes
	closeTime  = 2 * time.Second  // for the disk, when the mirror ends
)

// Options are a mirror's settings. All fields are needed, but Both and AckTimeout.
type Options struct {
	Address     string        // of the old platform: host:port
	Both        bool          // frames get receipts: the old platform has to acknowledge too
	AckTimeout  time.Duration // how long a receipt is waited for
	Dir         string        // of the buffer; nobody else's
	BufferBytes int64         // that the buffer takes on disk
	MaxDevices  int           // that are connected, or have something in the buffer
	Registerer  prometheus.Registerer
	Logger      *slog.Logger

	patience, pause time.Duration // answerTime and firstPause, unless a test is in a hurry
}

// Mirror has a queue for each device. A nil Mirror mirrors nothing.
type Mirror struct {
	Options
	metrics *metrics
	inbox   inbox
	buffer  *buffer       // nil before Start
	dials   chan struct{} // a place for each connection that is being made

	answers atomic.Uint64 // frames that the old platform has answered
	away    health.Health // whether the old platform takes connections and answers logins

	mu     sync.Mutex
	queues map[string]*Queue // by device

	ctx     context.Context // ends what brings frames to the old platform
	end     context.CancelFunc
	closing chan struct{}  // ends what writes to the buffer
	bearers sync.WaitGroup // of queues
	writer  sync.WaitGroup // of the buffer
}

// New returns a mirror that Start starts.
func New(o Options) *Mirror {
	o.patience, o.pause = cmp.Or(o.patience, answerTime), cmp.Or(o.pause, firstPause)
	m := &Mirror{Options: o, metrics: newMetrics(o.Registerer), dials: make(chan struct{}, maxDials),
		queues: make(map[string]*Queue), closing: make(chan struct{})}
	m.inbox.wake = make(chan struct{}, 1)
	m.ctx, m.end = context.WithCancel(context.Background())
	return m
}

// Start opens the buffer, and begins to bring what is left in it to the old platform.
func (m *Mirror) Start() (err error) {
	if m == nil {
		return nil
	}
	if m.buffer, err = openBuffer(&m.Options, m.dropped, m.metrics); err != nil {
		return err
	}
	if err := m.recover(); err != nil {
		return err
	}
	m.writer.Go(func() {
		defer logging.ExitOnPanic(m.Logger)
		m.write()
	})
	return nil
}

// recover gives each device what the buffer has of it.
func (m *Mirror) recover() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames, err := m.buffer.recover(func(device string, i item) bool {
		q := m.queue(device)
		if q == nil {
			return false
		}
		q.expect(int(i.size))
		q.push(i)
		return true
	})
	if frames > 0 {
		m.Logger.Info("mirror has frames from before the start", "frames", frames, "devices", len(m.queues))
	}
	return err
}

// Hold returns the device's queue, for as long as a session has the device. Release gives it back.
func (m *Mirror) Hold(device string) *Queue {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue(device)
	if q == nil {
		return &Queue{mirror: m, noRoom: true}
	}
	q.hold()
	return q
}

// queue returns the device's queue, with somebody who empties it; nil if there are too many. The lock is held.
func (m *Mirror) queue(device string) *Queue {
	if q := m.queues[device]; q != nil {
		return q
	}
	if len(m.queues) >= m.MaxDevices && !m.evict() {
		return nil
	}
	q := &Queue{mirror: m, device: device, wake: make(chan struct{}, 1)}
	q.ctx, q.end = context.WithCancel(m.ctx)
	m.queues[device] = q
	m.bearers.Go(func() {
		defer logging.ExitOnPanic(m.Logger)
		defer q.end()
		newBearer(q).run()
	})
	return q
}

// evict takes the place of a device that has left, rather of one that has nothing waiting. The lock is held.
func (m *Mirror) evict() bool {
	looked := 0
	var found *Queue
	for _, q := range m.queues { // in no order
		left, empty := q.left()
		if left {
			found = q
		}
		if looked++; left && empty || looked == lookFor {
			break
		}
	}
	if found == nil || !found.evict() {
		return false
	}
	delete(m.queues, found.device)
	return true
}

// forget reports whether the queue is needed no more, and removes it.
func (m *Mirror) forget(q *Queue) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !q.idle() {
		return false
	}
	if m.queues[q.device] == q {
		delete(m.queues, q.device)
	}
	return true
}

// write brings what sessions have left into the buffer, until Close.
func (m *Mirror) write() {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-m.inbox.wake:
		case <-look.C:
		case <-m.closing:
			m.buffer.append(m.inbox.take())
			return
		}
		m.buffer.append(m.inbox.take())
		m.buffer.reclaim()
	}
}

// dropped counts frames that the old platform does not get.
func (m *Mirror) dropped(reason string, frames int, err error) {
	if frames == 0 {
		return
	}
	m.metrics.dropped.WithLabelValues(reason).Add(float64(frames))
	m.Logger.Warn("mirror drops frames, the old platform does not get them", "frames", frames, "reason", reason,
		"error", err)
}

// Err says why the old platform gets nothing, or returns nil.
func (m *Mirror) Err() error {
	if m == nil {
		return nil
	}
	if f := m.away.Failure(); f != nil {
		return f.Err
	}
	return nil
}

// Close ends the connections to the old platform. What it has not answered stays in the buffer. No session is left. A
// disk that hangs does not take the time of what else has to end.
func (m *Mirror) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	m.end()
	close(m.closing)
	ended := make(chan struct{})
	go func() {
		m.bearers.Wait()
		m.writer.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		if m.buffer == nil {
			return nil
		}
		return m.buffer.close()
	case <-ctx.Done():
		return errors.New("the disk of the mirror's buffer hangs")
	}
}
