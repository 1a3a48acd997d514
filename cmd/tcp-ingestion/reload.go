package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// logLevel is the level in force: the file's, if LOG_LEVEL_FILE names one, else LOG_LEVEL's.
func logLevel(c *config.Config) (slog.Level, error) {
	if c.LogLevelFile == "" {
		return c.LogLevel, nil
	}
	b, err := os.ReadFile(c.LogLevelFile)
	if err != nil {
		return c.LogLevel, fmt.Errorf("LOG_LEVEL_FILE: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	level, err := config.ParseLevel(first)
	if err != nil {
		return c.LogLevel, fmt.Errorf("LOG_LEVEL_FILE: first line %q: %w", first, err)
	}
	return level, nil
}

// reload does what SIGHUP asks for: it reads again what may change while the process runs. What cannot be read
// stays as it was.
func (s *service) reload() {
	level, err := logLevel(s.config)
	if err != nil {
		s.logger.Error("log level not reloaded", "error", err)
	} else {
		s.level.Set(level)
	}
	for _, reload := range s.reloads {
		err = errors.Join(err, reload())
	}
	if err != nil {
		s.logger.Warn("reloaded in part", "log_level", s.level.Level().String())
		return
	}
	s.logger.Info("reloaded", "log_level", s.level.Level().String())
}
