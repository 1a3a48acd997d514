package main

import (
	"context"
	"fmt"
	"math"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// migratedAtStart is up to how many records the service itself has what is missing built at its start: that takes less
// time than a device waits for its answer.
const migratedAtStart = 2_000_000

func migrateCommand() *cli.Command {
	return &cli.Command{
		Name:  "migrate",
		Usage: "build what a large store of an earlier version lacks; the service does it at its start for a small one",
		Description: "Needs the same engine settings as the server. Nothing is stored meanwhile: stop the server, or\n" +
			"choose a quiet hour. Interrupted, it can be run again.\n" +
			"Exit codes: 0 nothing is missing any more, 1 failed, 2 wrong usage, 78 wrong settings.",
		Flags:  settingFlags(engineSettings...),
		Action: migrate,
	}
}

func migrate(ctx context.Context, cmd *cli.Command) error {
	c, err := loadSettings(cmd, nil)
	if err != nil {
		return err
	}
	if !hasStore(c) {
		return errNoStore(c)
	}
	logger, _ := newLogger(cmd, c)
	e, err := newEngine(withoutRetention(c), logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer e.Close()
	if m, ok := e.(engine.Migrator); ok {
		if err := m.Migrate(ctx, math.MaxInt64); err != nil {
			return cli.Exit(err.Error(), exitFailure)
		}
	}
	fmt.Fprintln(cmd.Root().Writer, "nothing is missing")
	return nil
}

// migrate has built what a store that is not large lacks. Probes wait meanwhile, and so the process is not ready.
func (s *service) migrate(ctx context.Context) {
	m, ok := s.engine.(engine.Migrator)
	if !ok {
		return
	}
	if err := m.Migrate(ctx, migratedAtStart); err != nil && ctx.Err() == nil {
		s.logger.Warn("store not migrated, the next start tries again", "error", err)
	}
}
