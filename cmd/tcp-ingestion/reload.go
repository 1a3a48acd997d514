package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/signals"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/systemd"
)

// fileTimeout is how long a start waits for the file of the log level, and a reload for its files. One that hangs, on
// a network file system that is gone, must not keep the others waiting.
const fileTimeout = 5 * time.Second

// levelInForce is logLevel, or LOG_LEVEL's if the file hangs.
func levelInForce(c *config.Config) (slog.Level, error) {
	type result struct {
		level slog.Level
		err   error
	}
	read := make(chan result, 1)
	go func() {
		level, err := logLevel(c)
		read <- result{level, err}
	}()
	select {
	case r := <-read:
		return r.level, r.err
	case <-time.After(fileTimeout):
		return c.LogLevel, fmt.Errorf("LOG_LEVEL_FILE: %s does not answer", c.LogLevelFile)
	}
}

// maxLevelFileBytes is enough for a word, and whatever people write below it.
const maxLevelFileBytes = 1 << 20

// logLevel is the level that is asked for: the file's, if LOG_LEVEL_FILE names one, else LOG_LEVEL's.
func logLevel(c *config.Config) (slog.Level, error) {
	if c.LogLevelFile == "" {
		return c.LogLevel, nil
	}
	b, err := regularfile.Read(c.LogLevelFile, maxLevelFileBytes)
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

// reloadStep is one of the things that are read again while the process runs.
type reloadStep struct {
	setting string
	read    func() error // which logs its error; what cannot be read stays as it was
	atWork  chan error   // its result, from its beginning until that is looked at; nil otherwise
}

func (s *service) onReload(setting string, read func() error) {
	s.reloads = append(s.reloads, &reloadStep{setting: setting, read: read})
}

// reloadOnHangup does what SIGHUP asks for until ctx ends. It reloads once for all hangups that come during a reload.
func (s *service) reloadOnHangup(ctx context.Context, manager *systemd.Notifier) {
	for {
		select {
		case <-signals.Reload:
			manager.Reloading()
			s.reload(ctx)
			manager.Ready()
		case <-ctx.Done():
			return
		}
	}
}

// reload reads again what may change, all at once, and waits for fileTimeout.
func (s *service) reload(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	for _, step := range s.reloads {
		step.begin(s.logger)
	}
	complete := true
	for _, step := range s.reloads {
		err := step.end(within)
		complete = complete && err == nil
		if errors.Is(err, errReloadHangs) && ctx.Err() == nil {
			s.logger.Error("reload hangs, the file does not answer", "setting", step.setting)
		}
	}
	if ctx.Err() != nil {
		return // the process stops
	}
	if !complete {
		s.logger.Warn("reloaded in part", "log_level", s.level.Level().String())
		return
	}
	s.logger.Info("reloaded", "log_level", s.level.Level().String())
}

// begin begins the step, unless it hangs since an earlier reload: so there is never more than one of it.
func (r *reloadStep) begin(logger *slog.Logger) {
	select {
	case <-r.atWork: // which has come to its end since
	default:
		if r.atWork != nil {
			return
		}
	}
	result := make(chan error, 1)
	r.atWork = result
	go func() {
		defer logging.ExitOnPanic(logger)
		result <- r.read()
	}()
}

var errReloadHangs = errors.New("the reload hangs")

// end returns the step's error, or errReloadHangs if it has none when ctx ends.
func (r *reloadStep) end(ctx context.Context) error {
	select {
	case err := <-r.atWork:
		r.atWork = nil
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-r.atWork: // which was there in time
		r.atWork = nil
		return err
	default:
		return errReloadHangs
	}
}

// reloadLevel reads LOG_LEVEL_FILE again.
func (s *service) reloadLevel() error {
	level, err := logLevel(s.config)
	if err != nil {
		s.logger.Error("log level not reloaded", "error", err)
		return err
	}
	s.level.Set(level)
	return nil
}
