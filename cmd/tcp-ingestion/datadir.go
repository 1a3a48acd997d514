package main

import (
	"context"
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// keepsFiles reports whether the service keeps anything in DATA_DIR: records, or commands and devices.
func keepsFiles(c *config.Config) bool {
	return c.Engine == config.EngineEmbedded || c.ControlRedisURL == ""
}

// buildExitCode is the code of a service that cannot be built. One that is kept away by another may be tried again.
func buildExitCode(err error) int {
	if errors.Is(err, sqlitefile.ErrInUse) {
		return exitFailure
	}
	return exitSettings
}

// lockDataDir keeps a second service away from the same files: two that hand out one file's commands would each believe
// that the device is theirs. A directory that cannot be locked is no reason to leave devices outside: what is kept in
// it says by itself what is wrong.
func (s *service) lockDataDir() error {
	if !keepsFiles(s.config) {
		return nil
	}
	lock, err := sqlitefile.Lock(s.config.DataDir)
	switch {
	case errors.Is(err, sqlitefile.ErrInUse):
		return fmt.Errorf("DATA_DIR %s: %w: stop it first, or give this one another DATA_DIR", s.config.DataDir, err)
	case err != nil:
		s.logger.Warn("data directory not locked", "path", s.config.DataDir, "error", err)
		return nil
	}
	s.ends.add(func(context.Context) error { return lock.Close() })
	return nil
}
