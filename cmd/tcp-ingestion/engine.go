package main

import (
	"fmt"
	"log/slog"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
)

// withoutRetention are the settings of a command that runs beside the service: what is too old or too much is the
// service's matter, which may have been given other limits.
func withoutRetention(c *config.Config) *config.Config {
	kept := *c
	kept.RedisMaxLen, kept.EmbeddedRetention = 0, 0
	return &kept
}

// newEngine makes the configured engine. It need not be reachable.
func newEngine(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	switch c.Engine {
	case config.EngineRedis:
		durability, err := redisstream.ParseDurability(c.RedisDurability)
		if err != nil {
			return nil, fmt.Errorf("REDIS_DURABILITY: %w", err)
		}
		return redisstream.New(redisstream.Options{
			URL: c.RedisURL, Stream: c.RedisStream, MaxLen: c.RedisMaxLen, Durability: durability,
			ClientName: "tcp-ingestion-" + c.InstanceID, Logger: logger,
		})
	case config.EngineEmbedded:
		return sqlite.New(sqlite.Options{Dir: c.DataDir, Retention: c.EmbeddedRetention, Logger: logger})
	}
	return nil, fmt.Errorf("ENGINE: %q is not known", c.Engine)
}
