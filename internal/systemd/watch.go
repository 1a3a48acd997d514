package systemd

import (
	"context"
	"fmt"
	"time"
)

// statusInterval is how often the status line is renewed when no watchdog sets the pace.
const statusInterval = 10 * time.Second

// Watch renews the status line and feeds the watchdog until ctx ends, each at half of the time that the manager
// allows. The watchdog is fed only after alive has returned nil; alive has until the next turn. A process that
// cannot prove that it lives is thus ended and started again by the manager.
func (n *Notifier) Watch(ctx context.Context, alive func(context.Context) error, status func() string) {
	if n.socket == "" {
		return
	}
	interval := statusInterval
	if n.watchdog > 0 {
		interval = n.watchdog / 2
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		n.look(ctx, interval, alive)
		if ctx.Err() != nil {
			return
		}
		n.Status(status())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Notifier) look(ctx context.Context, limit time.Duration, alive func(context.Context) error) {
	if n.watchdog == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := alive(ctx); err != nil {
		if ctx.Err() != context.Canceled {
			n.logger.Error("watchdog not fed", "error", fmt.Errorf("the process does not answer itself: %w", err))
		}
		return
	}
	n.send("WATCHDOG=1")
}
