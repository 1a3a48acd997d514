// Package tap shows packets to those who look while they come, and holds up nobody for it: what somebody who reads
// slowly has no room for is left out and counted. Nothing is explained here; a tap has bytes, and who reads them may
// take the time to explain them.
package tap

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/metric"
)

// What is bounded.
const (
	MaxTaps  = 16
	MaxBytes = 65<<10 + 16 // of a packet; the largest frame of the default settings fits

	maxPackets  = 1024    // that wait for the reader of a tap
	maxWaiting  = 1 << 20 // bytes of those
	maxErrorLen = 500     // bytes
)

// rate is how many packets a tap takes: more than anybody can read, and so few that copying them costs nothing worth
// speaking of.
var rate = limit.PerSecond(500, maxPackets)

// ErrTooMany says that there are MaxTaps already.
var ErrTooMany = errors.New("too many taps are open")

// Hub is where packets are offered. While no tap is open that costs one atomic load. A nil Hub has no taps.
type Hub struct {
	taps atomic.Pointer[[]*Tap] // nil while there is none
	mu   sync.Mutex             // for who changes taps

	opened         prometheus.Counter
	shown, dropped prometheus.Counter
}

// NewHub returns a hub that nobody looks at.
func NewHub(r prometheus.Registerer) *Hub {
	to := metric.For(r)
	packets := to.Counters("teltonika_tap_packets_total",
		"Packets for taps: shown, or dropped because the reader is too slow or they were more than 500 a second.", "result")
	return &Hub{
		opened:  to.Counter("teltonika_taps_opened_total", "Taps opened. Each is in the log."),
		shown:   packets.WithLabelValues("shown"),
		dropped: packets.WithLabelValues("dropped"),
	}
}

// Watched reports whether a tap is open.
func (h *Hub) Watched() bool { return h != nil && h.taps.Load() != nil }

func (h *Hub) all() []*Tap {
	if taps := h.taps.Load(); taps != nil {
		return *taps
	}
	return nil
}

// Wants reports whether a tap shows the packet, depending on an outcome that is not known yet.
func (h *Hub) Wants(p *Packet) bool {
	return slices.ContainsFunc(h.all(), func(t *Tap) bool { return t.filter.matches(p) })
}

// Offer gives the packet to the taps that show it. It waits for nothing.
func (h *Hub) Offer(p *Packet) {
	for _, t := range h.all() {
		if t.filter.matches(p) {
			t.offer(p)
		}
	}
}

// Open opens a tap. It may fail with [ErrTooMany].
func (h *Hub) Open(f Filter) (*Tap, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	taps := h.all()
	if len(taps) >= MaxTaps {
		return nil, ErrTooMany
	}
	t := &Tap{hub: h, filter: f, waiting: make(chan waiting, maxPackets)}
	taps = append(slices.Clone(taps), t)
	h.taps.Store(&taps)
	h.opened.Inc()
	return t, nil
}

// Tap has the packets that it shows wait for its reader, of whom there is one.
type Tap struct {
	hub     *Hub
	filter  Filter
	rate    limit.Bucket
	waiting chan waiting
	bytes   atomic.Int64  // of the packets in waiting
	missed  atomic.Uint64 // dropped, and not told yet
	shown   uint64
	dropped uint64 // told
}

// waiting is a packet and how many were dropped right before it.
type waiting struct {
	packet *Packet
	missed uint64
}

// offer has a copy of the packet wait for the reader, or drops it.
func (t *Tap) offer(p *Packet) {
	size := int64(min(len(p.Bytes), MaxBytes))
	if len(t.waiting) == maxPackets || !t.rate.Take(1, time.Now(), rate) {
		t.drop(1)
		return
	}
	if t.bytes.Add(size) > maxWaiting {
		t.bytes.Add(-size)
		t.drop(1)
		return
	}
	w := waiting{p.clone(), t.missed.Swap(0)}
	select {
	case t.waiting <- w:
	default:
		t.bytes.Add(-size)
		t.drop(w.missed + 1)
	}
}

func (t *Tap) drop(n uint64) { t.missed.Add(n) }

// clone is a copy of what whoever offers the packet keeps.
func (p *Packet) clone() *Packet {
	c := *p
	c.Bytes = slices.Clone(p.Bytes[:min(len(p.Bytes), MaxBytes)])
	c.Answer = slices.Clone(p.Answer)
	if p.Err != nil {
		c.Error = p.Err.Error()
		c.Error, c.Err = c.Error[:min(len(c.Error), maxErrorLen)], nil
	}
	return &c
}

// Next waits for a packet, and returns it with the number of those that were dropped right before it. If none comes
// within d there is none, only what was dropped by then. It fails if ctx ends and no packet waits.
func (t *Tap) Next(ctx context.Context, d time.Duration) (p *Packet, dropped uint64, err error) {
	select {
	case w := <-t.waiting:
		return t.take(w)
	default:
	}
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case w := <-t.waiting:
		return t.take(w)
	case <-patience.C:
		dropped = t.missed.Swap(0)
		t.told(dropped)
		return nil, dropped, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

func (t *Tap) take(w waiting) (*Packet, uint64, error) {
	t.bytes.Add(-int64(len(w.packet.Bytes)))
	t.shown++
	t.hub.shown.Inc()
	t.told(w.missed)
	return w.packet, w.missed, nil
}

func (t *Tap) told(dropped uint64) {
	t.dropped += dropped
	t.hub.dropped.Add(float64(dropped))
}

// Close ends the tap, and returns how many packets it has shown and dropped. What still waits is neither.
func (t *Tap) Close() (shown, dropped uint64) {
	t.hub.remove(t)
	for {
		select {
		case w := <-t.waiting:
			t.told(w.missed)
		default:
			t.told(t.missed.Swap(0))
			return t.shown, t.dropped
		}
	}
}

func (h *Hub) remove(t *Tap) {
	h.mu.Lock()
	defer h.mu.Unlock()
	taps := slices.DeleteFunc(slices.Clone(h.all()), func(other *Tap) bool { return other == t })
	if len(taps) > 0 {
		h.taps.Store(&taps)
	} else {
		h.taps.Store(nil)
	}
}
