package redisstore

import (
	"log/slog"
	"time"
)

// troubleEvery is how often a failure that goes on is logged.
const troubleEvery = time.Minute

// trouble logs when some work begins to fail, now and then while it does, and when it succeeds again. One goroutine uses it.
type trouble struct {
	logger        *slog.Logger
	metrics       *metrics
	what          string
	since, logged time.Time
	failures      int
}

func (t *trouble) report(err error) {
	now := time.Now()
	if err == nil {
		if t.failures > 0 {
			t.logger.Info("command store works again", "work", t.what, "after", now.Sub(t.since).Round(time.Millisecond), "failures", t.failures)
		}
		t.since, t.logged, t.failures = time.Time{}, time.Time{}, 0
		return
	}
	t.metrics.failures.WithLabelValues(t.what).Inc()
	if t.failures++; t.failures == 1 {
		t.since = now
	}
	if now.Sub(t.logged) >= troubleEvery {
		t.logged = now
		t.logger.Warn("command store does not work, trying again", "work", t.what, "failures", t.failures, "error", err)
	}
}
