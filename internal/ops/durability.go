package ops

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// How often the engine is inspected. While that fails, it is tried more often.
const (
	inspectInterval = time.Minute
	inspectTimeout  = 10 * time.Second
	inspectRetry    = time.Second // the first time, then twice as long each time
)

// Durability knows what the engine promises, by asking it again and again: its settings can be changed at any time.
// The engine is asked for the first time by Look or Run.
type Durability struct {
	inspect  func(context.Context) (engine.Durability, error)
	logger   *slog.Logger
	interval time.Duration
	latest   atomic.Pointer[engine.Durability] // nil before the first answer
	silent   health.Health                     // the engine does not answer
	weak     health.Health                     // it answers, and does not store as it is configured to
}

// NewDurability returns one that has not asked yet, and registers the info metric.
func NewDurability(
	inspect func(context.Context) (engine.Durability, error), r prometheus.Registerer, logger *slog.Logger,
) *Durability {
	d := &Durability{inspect: inspect, logger: logger, interval: inspectInterval}
	r.MustRegister((*durabilityFigure)(d))
	return d
}

// String is the durability class in words, for people.
func (d *Durability) String() string {
	if latest := d.latest.Load(); latest != nil {
		return string(latest.Class)
	}
	return "unknown: the engine has not been reached yet"
}

// Run asks until ctx ends. Look must not be called meanwhile.
func (d *Durability) Run(ctx context.Context) {
	retry := backoff.Backoff{First: inspectRetry, Max: d.interval}
	for {
		wait := d.interval
		if err := d.Look(ctx); err == nil {
			retry.Reset()
		} else {
			wait = retry.Next()
		}
		if !backoff.Pause(ctx, wait) {
			return
		}
	}
}

// Look asks once and logs what is new. The error is the engine's; see engine.ErrDurability.
func (d *Durability) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	now, err := d.inspect(ctx)
	if err == nil || errors.Is(err, engine.ErrDurability) {
		d.note(&now)
	}
	d.noteFailure(ctx, err)
	return err
}

func (d *Durability) note(now *engine.Durability) {
	before := d.latest.Swap(now)
	switch {
	case before == nil:
		d.logger.Info("engine", "engine", now.Engine, "durability", string(now.Class), "class", now.Class.Word())
	case before.Class != now.Class:
		d.logger.Warn("engine durability changed", "engine", now.Engine, "from", before.Class.Word(), "to", now.Class.Word(),
			"durability", string(now.Class))
	case before.Engine != now.Engine:
		d.logger.Info("engine changed", "engine", now.Engine, "before", before.Engine)
	}
	for _, w := range now.Warnings {
		if before == nil || !slices.Contains(before.Warnings, w) {
			d.logger.Warn("engine setting", "warning", w)
		}
	}
}

// noteFailure logs when something begins to fail and when all works again.
func (d *Durability) noteFailure(ctx context.Context, err error) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case errors.Is(err, engine.ErrDurability):
		d.silent.Worked()
		if _, due := d.weak.Failed(err); due {
			d.logger.Warn("engine cannot store at the configured durability", "error", err)
		}
	case err != nil:
		if _, due := d.silent.Failed(err); due {
			d.logger.Warn("engine cannot be inspected", "error", err)
		}
	default:
		silent, weak := d.silent.Worked(), d.weak.Worked()
		if silent != nil || weak != nil {
			d.logger.Info("engine can be inspected again")
		}
	}
}

// durabilityFigure shows the last answer.
type durabilityFigure Durability

var engineInfo = gauge("engine_info",
	"Which engine it is, with its version, and how durable it is set up: always 1. The class is memory, second "+
		"(up to 1 s lost at power loss), fsync or replicated.",
	"engine", "class")

func (f *durabilityFigure) Describe(ch chan<- *prometheus.Desc) { ch <- engineInfo }

func (f *durabilityFigure) Collect(ch chan<- prometheus.Metric) {
	if latest := f.latest.Load(); latest != nil {
		ch <- prometheus.MustNewConstMetric(engineInfo, prometheus.GaugeValue, 1, label(latest.Engine), latest.Class.Word())
	}
}
