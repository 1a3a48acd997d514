// Package logging makes the process's logger: log/slog, JSON or text, with a limit on repeated lines.
package logging

import (
	"io"
	"log/slog"
)

// LevelFatal is for what ends the process.
const LevelFatal = slog.LevelError + 4

// New returns a logger that writes to w, as text or as JSON. Text has colours if w is a [terminal.Writer] to a terminal
// that has them. The level may be changed while the logger is in use.
func New(w io.Writer, level slog.Leveler, text bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	var h slog.Handler = slog.NewJSONHandler(w, options)
	if text {
		h = slog.NewTextHandler(painted(w), options)
	}
	return slog.New(newThrottle(h, usualLimits))
}

// Audit returns a logger like l for lines of which hardly any must be missing: its limit is that of auditLimits.
func Audit(l *slog.Logger) *slog.Logger {
	t, ok := l.Handler().(*throttle)
	if !ok {
		return l
	}
	return slog.New(newThrottle(t.Handler, auditLimits))
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
