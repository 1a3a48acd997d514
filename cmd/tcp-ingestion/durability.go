package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// startInspection is how long the start waits for an engine that does not answer. It starts without it then.
const startInspection = 5 * time.Second

// refuseDurability ends the start when the engine answers and cannot do what REDIS_DURABILITY asks for: nothing
// would ever be acknowledged. An engine that does not answer is no reason, it may be there later.
func (s *service) refuseDurability(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startInspection)
	defer cancel()
	if err := s.durable.Look(ctx); errors.Is(err, engine.ErrDurability) {
		return cli.Exit(durabilityRefused(s.config, err), exitSettings)
	}
	return nil
}

// durabilityRefused is what serve and check say of it.
func durabilityRefused(c *config.Config, err error) string {
	return fmt.Sprintf("REDIS_DURABILITY=%s: %v", c.RedisDurability, err)
}
