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

// gate lets a number of handshakes compute at the same time, so that a storm of them leaves processors to the devices
// that are connected. Nobody is inside while waiting for the network, so that slow or silent peers hold no place.
//
// Those that have begun go before newcomers: otherwise in a storm all would begin and none end in time.
type gate struct {
	waiting   prometheus.Gauge
	mu        sync.Mutex
	free      int
	begun     list.List // of chan struct{}, closed when the place is theirs
	newcomers list.List
}

func newGate(places int, waiting prometheus.Gauge) *gate {
	return &gate{free: places, waiting: waiting}
}

// enter waits for a place until ctx ends; a newcomer only for half of that time, for the rest of its handshake needs
// some too. The error is errBusy, or ctx's if that was cancelled: then nobody goes in any more.
func (g *gate) enter(ctx context.Context, newcomer bool) error {
	if isCancelled(ctx) {
		return ctx.Err()
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	queue := &g.begun
	if newcomer {
		queue = &g.newcomers
	}
	turn := make(chan struct{})
	place := queue.PushBack(turn)
	g.mu.Unlock()
	g.waiting.Inc()
	defer g.waiting.Dec()

	select {
	case <-turn:
		if !isCancelled(ctx) {
			return nil
		}
	case <-patience(ctx, newcomer):
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // at the last moment
		g.next()
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

// patience is the end of a newcomer's.
func patience(ctx context.Context, newcomer bool) <-chan time.Time {
	if deadline, ok := ctx.Deadline(); ok && newcomer {
		return time.After(time.Until(deadline) / 2)
	}
	return nil
}

// leave gives the place to who is next.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next()
}

func (g *gate) next() {
	for _, queue := range []*list.List{&g.begun, &g.newcomers} {
		if first := queue.Front(); first != nil {
			close(queue.Remove(first).(chan struct{}))
			return
		}
	}
	g.free++
}
