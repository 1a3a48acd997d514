package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// meaningSettings are those of commands that say what elements mean, but do not remember devices as the service does.
var meaningSettings = []string{"SIGNALS", "DICTIONARY_OVERRIDES", "DEVICE_MODELS", "CONTROL_REDIS_URL"}

// meaningOf finds out what a device's elements are read with.
type meaningOf func(imei string) *meaning.Device

// meaningOfDevices finds it out by the overrides and models of the settings, and by what this process has read of the
// device. It is nil without SIGNALS.
func meaningOfDevices(ctx context.Context, c *config.Config, l *slog.Logger) (meaningOf, error) {
	if !c.Signals {
		return nil, nil
	}
	metrics := device.NewMetrics(prometheus.NewRegistry())
	m := &memory{Memory: device.New(device.Options{Metrics: metrics, Logger: l})}
	if err := m.readSettings(c); err != nil {
		return nil, err
	}
	if c.DeviceModels == config.ModelsInRedis {
		ctx, cancel := context.WithTimeout(ctx, modelsTimeout)
		defer cancel()
		_ = m.models.Read(ctx) // which says what is wrong
	}
	return func(imei string) *meaning.Device {
		d := m.Hold(imei)
		defer d.Release()
		return d.Meaning()
	}, nil
}
