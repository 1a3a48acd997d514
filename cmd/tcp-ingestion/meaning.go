package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// meaningSettings are those of commands that say what elements mean, beside the service that remembers devices.
var meaningSettings = []string{"SIGNALS", "DICTIONARY_OVERRIDES", "DEVICE_MODELS", "CONTROL_REDIS_URL"}

// meaningOf finds out what a device's elements are read with. claimed: nobody vouches for the IMEI.
type meaningOf func(imei string, claimed bool) *meaning.Device

// meaningOfDevices finds it out by the overrides and models of the settings, by what the service has kept of the
// device, and by what this process has read of it. It is nil without SIGNALS. It ends with ctx.
func meaningOfDevices(ctx context.Context, c *config.Config, l *slog.Logger) (meaningOf, error) {
	if !c.Signals {
		return nil, nil
	}
	store, err := keptDevices(c, l)
	if err != nil {
		return nil, err
	}
	metrics := device.NewMetrics(prometheus.NewRegistry())
	m := &memory{Memory: device.New(device.Options{Store: store, Reads: true, Metrics: metrics, Logger: l}), store: store}
	if err := m.readSettings(c); err != nil {
		m.close()
		return nil, err
	}
	go func() {
		defer m.close()
		m.Run(ctx)
		<-ctx.Done()
	}()
	if c.DeviceModels == config.ModelsInRedis {
		ctx, cancel := context.WithTimeout(ctx, modelsTimeout)
		defer cancel()
		_ = m.models.Read(ctx) // which says what is wrong
	}
	return meaningIn(ctx, m.Memory), nil
}

// meaningIn finds it out by what a memory knows, which may have to ask its store.
func meaningIn(ctx context.Context, m *device.Memory) meaningOf {
	return func(imei string, claimed bool) *meaning.Device {
		hold := m.Hold
		if claimed {
			hold = m.HoldClaimed
		}
		d := hold(imei)
		defer d.Release()
		ctx, cancel := context.WithTimeout(ctx, keptTimeout)
		defer cancel()
		_ = d.Await(ctx) // which is not for long, if the store is away
		return d.Meaning()
	}
}

// keptTimeout is how long is waited for what the service has kept.
const keptTimeout = 5 * time.Second

// keptDevices is where the service keeps devices, nil if it has kept none.
func keptDevices(c *config.Config, l *slog.Logger) (knownStore, error) {
	if c.ControlRedisURL == "" {
		_, err := os.Stat(filepath.Join(c.DataDir, sqlitestore.FileName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // and none is made
		}
	}
	return deviceStore(c, l)
}
