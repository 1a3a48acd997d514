package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// memory is what is known of devices, with what keeps it and what is read into it.
type memory struct {
	*device.Memory
	store     knownStore
	overrides device.Follower // nil without DICTIONARY_OVERRIDES
	models    device.Follower // nil without DEVICE_MODELS
	end       context.CancelFunc
	ended     chan struct{}
}

// knownStore keeps what is known of devices, and of strangers.
type knownStore interface {
	device.Store
	stranger.Store
}

// newMemory makes the parts, and reads the files that the settings name. Redis need not be reachable. ask is nil if
// nobody is to be asked.
func newMemory(c *config.Config, ask device.Ask, r prometheus.Registerer, logger *slog.Logger) (*memory, error) {
	store, err := deviceStore(c, logger)
	if err != nil {
		return nil, err
	}
	m := &memory{store: store, ended: make(chan struct{})}
	m.Memory = device.New(device.Options{
		Store: store, Ask: ask, Instance: c.InstanceID, DatagramIdle: c.IdleTimeout, Metrics: device.NewMetrics(r),
		Logger: logger,
	})
	if err := m.readSettings(c); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// readSettings reads what DICTIONARY_OVERRIDES and DEVICE_MODELS name. Its error names each that is wrong.
func (m *memory) readSettings(c *config.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), settingFileTimeout)
	defer cancel()
	var overridesErr, modelsErr error
	if c.DictionaryOverrides != "" {
		m.overrides = m.FollowOverrides(c.DictionaryOverrides)
		overridesErr = invalidFile("DICTIONARY_OVERRIDES", c.DictionaryOverrides, m.overrides.Start(ctx))
	}
	switch c.DeviceModels {
	case "":
	case config.ModelsInRedis:
		from, err := device.NewModelsRedis(c.AllowListURL(), "tcp-ingestion-"+c.InstanceID)
		if err != nil {
			modelsErr = invalid(controlSetting(c), err)
			break
		}
		m.models = m.FollowModels(from)
	default:
		m.models = m.FollowModels(device.NewModelsFile(c.DeviceModels))
		modelsErr = invalidFile("DEVICE_MODELS", c.DeviceModels, m.models.Start(ctx))
	}
	return allInvalid(overridesErr, modelsErr)
}

// settingFileTimeout is how long a start waits for the files.
const settingFileTimeout = 20 * time.Second

// invalidFile is the error of a setting whose file cannot be used.
func invalidFile(setting, path string, err error) error {
	if err == nil {
		return nil
	}
	return invalid(setting, errors.New(path+": "+fileProblem(err, "a file")))
}

// deviceStore is where devices are kept beyond this process: where commands are.
func deviceStore(c *config.Config, logger *slog.Logger) (knownStore, error) {
	if c.ControlRedisURL == "" {
		return sqlitestore.New(c.DataDir, logger)
	}
	store, err := redisstore.New(c.ControlRedisURL, "tcp-ingestion-devices")
	if err != nil {
		return nil, invalid(controlSetting(c), err)
	}
	return store, nil
}

// modelsTimeout is how long a start waits for the map of models in Redis. Without it devices are what they say.
const modelsTimeout = 3 * time.Second

// startMemory has devices remembered, and what the settings name kept fresh until watch ends.
func (s *service) startMemory(ctx, watch context.Context) {
	m := s.memory
	run, end := context.WithCancel(context.Background())
	m.end = end
	go func() {
		defer close(m.ended)
		var strangers sync.WaitGroup
		strangers.Go(func() {
			defer logging.ExitOnPanic(s.logger)
			s.strangers.Run(run)
		})
		m.Run(run)
		strangers.Wait()
	}()
	if s.config.DeviceModels == config.ModelsInRedis {
		limited, cancel := context.WithTimeout(ctx, modelsTimeout)
		_ = m.models.Read(limited) // which says what is wrong, and is tried again
		cancel()
	}
	s.follow("DICTIONARY_OVERRIDES", m.overrides, watch)
	s.follow("DEVICE_MODELS", m.models, watch)
}

// follow keeps what the setting names fresh until watch ends.
func (s *service) follow(setting string, f device.Follower, watch context.Context) {
	if f == nil {
		return
	}
	s.onReload(setting, func() error { return f.Read(watch) })
	s.background(func() { f.Run(watch) })
}

// endMemory saves what is new, once no device is left.
func (s *service) endMemory(ctx context.Context) error {
	m := s.memory
	if m.end != nil {
		m.end()
		select {
		case <-m.ended:
		case <-ctx.Done():
			s.logger.Warn("device store did not take what is new in time")
			return nil
		}
	}
	m.close()
	return nil
}

// close gives up what the memory holds open.
func (m *memory) close() {
	for _, f := range []device.Follower{m.overrides, m.models} {
		if f != nil {
			f.Close()
		}
	}
	if m.store != nil {
		m.store.Close()
	}
}

// modelQuestion is the sender of the service's own commands, in the log.
const modelQuestion = "learn_model"

// mayAsk is askModel, if LEARN_MODEL asks for it.
func (s *service) mayAsk() device.Ask {
	if !s.config.LearnModel {
		return nil
	}
	return s.askModel
}

// askModel asks a device for its model, by the way of all commands.
func (s *service) askModel(ctx context.Context, imei string) error {
	c := command.Command{
		ID: modelQuestion + "-" + imei + "-" + rand.Text(), IMEI: imei, Payload: []byte("getver"), Idempotent: true,
	}
	c.Complete(time.Now())
	if err := c.Validate(); err != nil {
		return err
	}
	_, _, err := s.commands.dispatcher.Submit(ctx, c, modelQuestion)
	var refused *command.RefusedError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", device.ErrRefused, err)
	}
	return err
}

// checkMemory says what DICTIONARY_OVERRIDES and DEVICE_MODELS hold. Its error names each that is wrong.
func checkMemory(ctx context.Context, c *config.Config, r *checkReport) error {
	overridesErr := checkOverridesSetting(ctx, c, r)
	models, from, modelsErr := readModels(ctx, c)
	if models != nil {
		r.fact("models", fmt.Sprintf("%d entries, %s", models.Len(), from))
		if skipped := models.Skipped(); skipped != "" {
			r.warn(skipped)
		}
	}
	return allInvalid(overridesErr, modelsErr)
}

func checkOverridesSetting(ctx context.Context, c *config.Config, r *checkReport) error {
	if c.DictionaryOverrides == "" {
		return nil
	}
	d, err := device.NewOverrides(c.DictionaryOverrides).Read(ctx, false)
	if err != nil {
		return invalidFile("DICTIONARY_OVERRIDES", c.DictionaryOverrides, err)
	}
	rows := 0
	for range d.Overrides() {
		rows++
	}
	r.fact("overrides", fmt.Sprintf("%s, dictionary %s", plural(rows, "row"), d.Version()))
	return nil
}

// readModels reads the map of DEVICE_MODELS once, and says where it is; nil without one.
func readModels(ctx context.Context, c *config.Config) (_ *device.Models, where string, err error) {
	if c.DeviceModels == "" {
		return nil, "", nil
	}
	var from device.ModelsSource = device.NewModelsFile(c.DeviceModels)
	if c.DeviceModels == config.ModelsInRedis {
		if from, err = device.NewModelsRedis(c.AllowListURL(), "tcp-ingestion-check"); err != nil {
			return nil, "", invalid(controlSetting(c), err)
		}
	}
	defer from.Close()
	models, err := from.Read(ctx, false)
	switch {
	case err != nil && c.DeviceModels == config.ModelsInRedis:
		return nil, "", fmt.Errorf("DEVICE_MODELS: %v: %w", from, err)
	case err != nil:
		return nil, "", invalidFile("DEVICE_MODELS", c.DeviceModels, err)
	}
	return models, fmt.Sprint(from), nil
}
