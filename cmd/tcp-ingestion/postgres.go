package main

import (
	"log/slog"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/postgres"
)

// postgresSettings are those that a command needs that only talks to the engine.
var postgresSettings = []string{"POSTGRES_URL", "POSTGRES_DURABILITY"}

func openPostgres(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	e, err := postgres.New(postgres.Options{
		URL: c.PostgresURL, Durability: postgres.Durability(c.PostgresDurability), Retention: c.PostgresRetention,
		DeadLetterMaxBytes: c.DeadLetterMaxBytes, MessageMaxBytes: c.MessageMaxBytes,
		Name: "tcp-ingestion-" + c.InstanceID, Logger: logger,
	})
	if err != nil {
		return nil, invalid("POSTGRES_URL", err)
	}
	return e, nil
}
