package tlsserver

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// errBusy: so many handshakes waited that this one's turn did not come in time.
var errBusy = errors.New("too many handshakes at once")

// semaphore lets a number of handshakes compute at the same time, so that a storm of them leaves processors to the
// devices that are connected. Nobody is inside while waiting for the network, so that slow or silent peers hold no
// place.
//
// Those that have begun go before newcomers: otherwise in a storm all would begin and none end in time.
type semaphore struct {
	waiting   prometheus.Gauge
	mu        sync.Mutex
	free      int
	begun     list.List // of chan struct{}, closed when the place is theirs
	newcomers list.List
}

func newSemaphore(places int, waiting prometheus.Gauge) *semaphore {
	return &semaphore{free: places, waiting: waiting}
}

// enter waits for a place until ctx ends; a newcomer only for half of that time, for the rest of its handshake needs
// some too. The error is errBusy, or ctx's if that was cancelled: then nobody goes in any more.
func (s *semaphore) enter(ctx context.Context, newcomer bool) error {
	if isCancelled(ctx) {
		return ctx.Err()
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	queue := &s.begun
	if newcomer {
		queue = &s.newcomers
	}
	turn := make(chan struct{})
	place := queue.PushBack(turn)
	s.mu.Unlock()
	s.waiting.Inc()
	defer s.waiting.Dec()

	select {
	case <-turn:
		if !isCancelled(ctx) {
			return nil
		}
	case <-newcomersTurn(ctx, newcomer):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-turn: // at the last moment
		s.next()
	default:
		queue.Remove(place)
	}
	if isCancelled(ctx) {
		return ctx.Err()
	}
	return errBusy
}

// isCancelled reports whether ctx has ended, and not by its deadline.
func isCancelled(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// newcomersTurn ends when a newcomer has waited for half of its time. It is nil for others.
func newcomersTurn(ctx context.Context, newcomer bool) <-chan time.Time {
	if deadline, ok := ctx.Deadline(); ok && newcomer {
		return time.After(time.Until(deadline) / 2)
	}
	return nil
}

// leave gives the place to who is next.
func (s *semaphore) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next()
}

func (s *semaphore) next() {
	for _, queue := range []*list.List{&s.begun, &s.newcomers} {
		if first := queue.Front(); first != nil {
			close(queue.Remove(first).(chan struct{}))
			return
		}
	}
	s.free++
}
