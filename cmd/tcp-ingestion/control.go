package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// controlPlane is where commands are kept, and which instance holds which device. It does not depend on where records
// go.
type controlPlane struct {
	where string // for people

	// open makes the store of commands, which need not be reachable; prove finds out whether it would keep one.
	open  func(*config.Config, prometheus.Registerer, *slog.Logger) (command.Store, error)
	prove func(context.Context, *config.Config, *slog.Logger) error
}

// controlOf is the configured one.
func controlOf(c *config.Config) controlPlane {
	if c.ControlRedisURL != "" {
		return controlPlane{where: "in redis, " + controlSetting(c), open: openRedisCommands, prove: proveRedisCommands}
	}
	return controlPlane{
		where: "in DATA_DIR " + c.DataDir + ", for devices of this instance only",
		open:  openEmbeddedCommands, prove: proveEmbeddedCommands,
	}
}

// controlSetting is the one that names the control Redis.
func controlSetting(c *config.Config) string {
	if c.ControlRedisURL == c.RedisURL {
		return "REDIS_URL"
	}
	return "CONTROL_REDIS_URL"
}

func openRedisCommands(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (command.Store, error) {
	return redisCommands(c, r, logger)
}

func redisCommands(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (*redisstore.Store, error) {
	store, err := redisstore.New(redisstore.Options{
		URL: c.ControlRedisURL, Instance: c.InstanceID, Logger: logger, Metrics: r,
	})
	if err != nil {
		return nil, invalid(controlSetting(c), err)
	}
	return store, nil
}

func openEmbeddedCommands(c *config.Config, _ prometheus.Registerer, logger *slog.Logger) (command.Store, error) {
	return embeddedCommands(c, logger)
}

func embeddedCommands(c *config.Config, logger *slog.Logger) (*sqlitestore.Store, error) {
	return sqlitestore.New(sqlitestore.Options{
		Dir: c.DataDir, Instance: c.InstanceID, Retention: c.EmbeddedRetention, Logger: logger,
	})
}

// proveRedisCommands asks a Redis of its own: one that keeps the records too has answered for itself.
func proveRedisCommands(ctx context.Context, c *config.Config, logger *slog.Logger) error {
	if c.Engine == config.EngineRedis && c.ControlRedisURL == c.RedisURL {
		return nil
	}
	store, err := redisCommands(c, nil, logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer store.Close()
	return notKept(store.Prove(ctx))
}

func proveEmbeddedCommands(ctx context.Context, c *config.Config, logger *slog.Logger) error {
	tried, removeTried, err := triable(c, sqlitestore.FileName)
	if err != nil {
		return notKept(err)
	}
	defer removeTried()
	store, err := embeddedCommands(tried, logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer store.Close()
	return notKept(store.Prove(ctx))
}

// notKept is the error of a store that would keep no command.
func notKept(err error) error {
	if err == nil {
		return nil
	}
	return cli.Exit(fmt.Sprintf("commands cannot be kept: %v", err), exitFailure)
}

// checkCommands says where commands are kept, and finds out whether one would be.
func checkCommands(ctx context.Context, c *config.Config, logger *slog.Logger, r *checkReport) error {
	control := controlOf(c)
	r.fact("commands", control.where)
	if c.ControlRedisURL == "" && c.Engine != config.EngineEmbedded {
		r.warn("where several instances run, set CONTROL_REDIS_URL: commands then find a device at any of them")
	}
	return control.prove(ctx, c, logger)
}
