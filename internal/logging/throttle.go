package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// limits are how often the same message may be logged at the same level. Messages are constants, so their number is
// bounded.
type limits struct {
	usual   limit.Rate // of lines that name no device
	device  limit.Rate // of lines that name the same device
	devices limit.Rate // of lines that name any
}

// deviceKey is the attribute that names a device.
const deviceKey = "imei"

// With usualLimits one device that fails again and again leaves the lines of others alone, and each device of a fleet
// that comes at once has its line. Anybody can make up names of devices, so there is a limit for all of them too.
var (
	usualLimits = limits{
		usual:   limit.PerSecond(50, 50),
		device:  limit.Rate{Burst: 20, Interval: 10 * time.Second},
		devices: limit.PerSecond(50, 10_000),
	}
	auditLimits = limits{
		usual: limit.PerSecond(1000, 1000), devices: limit.PerSecond(1000, 1000),
		device: limit.PerSecond(1000, 1000),
	}
)

// deviceCells is how many pairs of message and device are told apart; others share a cell.
const deviceCells = 1 << 16

// throttle drops lines above the limits and adds their number, as "suppressed", to the next one of the same message
// that is written.
type throttle struct {
	slog.Handler
	*state
	device string // that all lines name; empty if they name none, or each its own
}

func newThrottle(h slog.Handler, l limits) *throttle {
	return &throttle{Handler: h, state: &state{
		limits: l, lines: make(map[line]*counts), devices: limit.NewTable[limit.Bucket](deviceCells),
	}}
}

// state is shared by a logger and all that are made of it.
type state struct {
	limits  limits
	devices *limit.Table[limit.Bucket] // by message and device
	mu      sync.Mutex
	lines   map[line]*counts
}

type line struct {
	level   slog.Level
	message string
}

// counts are those of a message.
type counts struct {
	usual, devices limit.Bucket
	suppressed     int
}

func (t *throttle) Handle(ctx context.Context, r slog.Record) error {
	suppressed, ok := t.admit(&r)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return t.Handler.Handle(ctx, r)
}

func (t *throttle) admit(r *slog.Record) (suppressed int, ok bool) {
	device := t.deviceOf(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.lines[line{r.Level, r.Message}]
	if c == nil {
		c = &counts{}
		t.lines[line{r.Level, r.Message}] = c
	}
	if !t.take(c, r, device) {
		c.suppressed++
		return 0, false
	}
	suppressed, c.suppressed = c.suppressed, 0
	return suppressed, true
}

func (s *state) take(c *counts, r *slog.Record, device string) bool {
	if device == "" {
		return c.usual.Take(1, r.Time, s.limits.usual)
	}
	return s.devices.Of(r.Message+" "+device).Take(1, r.Time, s.limits.device) &&
		c.devices.Take(1, r.Time, s.limits.devices)
}

// deviceOf is the device that the line names, if it names one.
func (t *throttle) deviceOf(r *slog.Record) string {
	device := t.device
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == deviceKey {
			device = a.Value.String()
		}
		return a.Key != deviceKey
	})
	return device
}

func (t *throttle) WithAttrs(attrs []slog.Attr) slog.Handler {
	device := t.device
	for _, a := range attrs {
		if a.Key == deviceKey {
			device = a.Value.String()
		}
	}
	return &throttle{t.Handler.WithAttrs(attrs), t.state, device}
}

func (t *throttle) WithGroup(name string) slog.Handler {
	return &throttle{t.Handler.WithGroup(name), t.state, t.device}
}
