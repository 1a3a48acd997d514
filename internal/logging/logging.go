// Package logging makes the process's logger: log/slog, JSON or text, with a limit on repeated lines.
package logging

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// LevelFatal is for what ends the process.
const LevelFatal = slog.LevelError + 4

// New returns a logger that writes to w, as text or as JSON. Its level may be changed while it is in use.
func New(w io.Writer, level slog.Leveler, text bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	var h slog.Handler = slog.NewJSONHandler(w, options)
	if text {
		h = slog.NewTextHandler(w, options)
	}
	return slog.New(newThrottle(h, linesPerSecond))
}

// Audit returns a logger like l for lines of which hardly any must be missing: its limit is auditLinesPerSecond.
func Audit(l *slog.Logger) *slog.Logger {
	t, ok := l.Handler().(*throttle)
	if !ok {
		return l
	}
	return slog.New(newThrottle(t.Handler, auditLinesPerSecond))
}

// replace writes LevelFatal by its name, and durations for people: 1m30s instead of 90000000000.
func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if level, ok := a.Value.Any().(slog.Level); ok && level >= LevelFatal {
			a.Value = slog.StringValue("FATAL")
		}
	}
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// linesPerSecond is how often the same message may be logged at the same level. Messages are constants, so
// their number is bounded.
const (
	linesPerSecond      = 50
	auditLinesPerSecond = 1000
)

// throttle drops lines above the limit and adds their number, as "suppressed", to the next one that is written.
type throttle struct {
	slog.Handler
	*state
}

func newThrottle(h slog.Handler, limit int) *throttle {
	return &throttle{Handler: h, state: &state{limit: limit, lines: make(map[line]*window)}}
}

type state struct {
	limit int // lines a second
	mu    sync.Mutex
	lines map[line]*window
}

type line struct {
	level   slog.Level
	message string
}

// window counts a message's lines of one second.
type window struct {
	begin      time.Time
	written    int
	suppressed int
}

func (t *throttle) Handle(ctx context.Context, r slog.Record) error {
	suppressed, ok := t.admit(r)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return t.Handler.Handle(ctx, r)
}

func (t *throttle) admit(r slog.Record) (suppressed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.lines[line{r.Level, r.Message}]
	if w == nil {
		w = &window{}
		t.lines[line{r.Level, r.Message}] = w
	}
	if r.Time.Sub(w.begin) >= time.Second {
		suppressed = w.suppressed
		*w = window{begin: r.Time}
	}
	if w.written >= t.limit {
		w.suppressed++
		return 0, false
	}
	w.written++
	return suppressed, true
}

func (t *throttle) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &throttle{t.Handler.WithAttrs(attrs), t.state}
}

func (t *throttle) WithGroup(name string) slog.Handler {
	return &throttle{t.Handler.WithGroup(name), t.state}
}
