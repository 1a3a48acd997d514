package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
)

// withoutRetention are the settings of a command that runs beside the service: what is too old or too much is the
// service's matter, which may have been given other limits.
func withoutRetention(c *config.Config) *config.Config {
	kept := *c
	kept.RedisMaxLen, kept.EmbeddedRetention, kept.DeadLetterMaxBytes = 0, 0, 0
	return &kept
}

// openEngine makes the engine for a command that reads or mends what is stored beside the service: it keeps quiet,
// and leaves deleting what is old to the service.
func openEngine(cmd *cli.Command) (*config.Config, engine.Engine, *slog.Logger, error) {
	c, err := loadSettings(cmd, besideTheService)
	if err != nil {
		return nil, nil, nil, err
	}
	warnOfNewStore(cmd, c)
	logger, _ := newLogger(cmd, c)
	e, err := newEngine(withoutRetention(c), logger)
	if err != nil {
		return nil, nil, nil, cli.Exit(err.Error(), exitSettings)
	}
	return c, e, logger, nil
}

// warnOfNewStore says that there is no database where the service's is looked for, because an empty one looks like
// good news.
func warnOfNewStore(cmd *cli.Command, c *config.Config) {
	path := filepath.Join(c.DataDir, sqlite.FileName)
	if _, err := os.Stat(path); c.Engine == config.EngineEmbedded && errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(cmd.Root().ErrWriter,
			"tcp-ingestion: there was no %s: are DATA_DIR and REDIS_URL those of the service?\n", path)
	}
}

// newEngine makes the configured engine. It need not be reachable.
func newEngine(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	switch c.Engine {
	case config.EngineRedis:
		durability, err := redisstream.ParseDurability(c.RedisDurability)
		if err != nil {
			return nil, invalid("REDIS_DURABILITY", err)
		}
		e, err := redisstream.New(redisstream.Options{
			URL: c.RedisURL, Stream: c.RedisStream, MaxLen: c.RedisMaxLen, DeadMaxBytes: c.DeadLetterMaxBytes,
			Durability: durability, ClientName: "tcp-ingestion-" + c.InstanceID, Logger: logger,
		})
		if err != nil {
			return nil, invalid("REDIS_URL", err)
		}
		return e, nil
	case config.EngineEmbedded:
		return sqlite.New(sqlite.Options{Dir: c.DataDir, Retention: c.EmbeddedRetention, DeadLetterMaxBytes: c.DeadLetterMaxBytes, Logger: logger})
	}
	return nil, invalid("ENGINE", fmt.Errorf("%q is not known", c.Engine))
}

// allInvalid is one error that names every setting that the errors are about, nil if there is none.
func allInvalid(errs ...error) error {
	var problems []config.Problem
	var others []error
	for _, err := range errs {
		var wrong *config.Error
		if errors.As(err, &wrong) {
			problems = append(problems, wrong.Problems...)
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(problems) > 0 {
		others = append(others, &config.Error{Problems: problems})
	}
	return errors.Join(others...)
}

// fileProblem is what is wrong with a file that a setting names, and what to do if it cannot be read.
func fileProblem(err error, what string) string {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Sprintf("%v; set it to the path of %s that this user may read", err, what)
	}
	return err.Error()
}

// invalid is the error of a setting that only its engine can judge, in the words of all wrong settings.
func invalid(setting string, err error) error {
	return &config.Error{Problems: []config.Problem{{Setting: setting, Text: err.Error()}}}
}
