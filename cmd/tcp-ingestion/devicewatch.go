package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

// watchEvery is between two looks at the devices.
const watchEvery = 2 * time.Second

// connectionOf is what tells connections of a device apart, and whether one has ended.
type connectionOf struct {
	connected              bool
	instance, address, end string
	since                  time.Time
}

// watch shows the devices, and then each whose connection is another one, or has ended, until a signal comes. Other
// programs read the lines as they come, so nothing is written over.
func (l *deviceList) watch(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	shown := map[string]device.Presence{}
	for first := true; ; first = false {
		if err := l.showChanges(ctx, shown, first); err != nil && ctx.Err() == nil {
			return err
		}
		if !backoff.Pause(ctx, watchEvery) {
			return nil
		}
	}
}

// showChanges shows what is not as it was shown before, and notes it.
func (l *deviceList) showChanges(ctx context.Context, shown map[string]device.Presence, first bool) error {
	table, listed := l.newTable(first), map[string]bool{}
	incomplete, err := l.each(ctx, func(p *device.Presence) error {
		listed[p.IMEI] = true
		before, known := shown[p.IMEI]
		shown[p.IMEI] = *p
		if known && connectionIn(&before) == connectionIn(p) {
			return nil
		}
		return table.print(p)
	})
	if err != nil {
		return err
	}
	for imei, p := range shown {
		if listed[imei] || incomplete != "" {
			continue // who is not listed may be at an instance that is not known now
		}
		delete(shown, imei)
		if p.Connected = false; l.state == device.StateConnected {
			if err := table.print(&p); err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

func connectionIn(p *device.Presence) connectionOf {
	return connectionOf{p.Connected, p.Instance, p.Address, p.CloseReason, p.ConnectedAt.Time}
}
