package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/postgres"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/redisstream"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
)

// engineEntry is all that differs from engine to engine.
type engineEntry struct {
	name     string   // the value of ENGINE
	settings []string // its own that a command beside the service needs

	// shards says whether a lane that does not store says nothing of the others.
	shards func(*config.Config) bool

	// where is the engine by the setting that says where it is.
	where func(*config.Config) string

	// open makes the engine, which need not be reachable.
	open func(*config.Config, *slog.Logger) (engine.Engine, error)

	// durability is the setting that the engine may be unable to keep; nil: it always can.
	durability func(*config.Config) string
}

// redisSettings are those that a command needs that only talks to the engine.
var redisSettings = []string{
	"REDIS_URL", "REDIS_TELEMETRY_STREAM", "REDIS_SHARDS", "REDIS_DURABILITY", "REDIS_CLUSTER_ALLOW_REPLY",
}

func always(*config.Config) bool { return true }
func never(*config.Config) bool  { return false }

// engines are those that ENGINE may name.
var engines = []engineEntry{
	{
		name: config.EngineRedis, settings: redisSettings, shards: (*config.Config).RedisCluster,
		where: func(*config.Config) string { return "engine redis" },
		open:  openRedis,

		durability: func(c *config.Config) string { return "REDIS_DURABILITY=" + c.RedisDurability },
	},
	{
		name: config.EngineEmbedded, settings: []string{"DATA_DIR"}, shards: never,
		where: func(c *config.Config) string { return "engine embedded, DATA_DIR " + c.DataDir },
		open:  openEmbedded,
	},
	{
		name: config.EngineJetStream, settings: jetStreamSettings, shards: always,
		where: func(*config.Config) string { return "engine jetstream" },
		open:  openJetStream,

		durability: func(c *config.Config) string { return "JETSTREAM_DURABILITY=" + c.JetStreamDurability },
	},
	{
		name: config.EngineKafka, settings: kafkaSettings, shards: always,
		where: func(c *config.Config) string {
			return "engine kafka, KAFKA_BROKERS " + c.Kafka.Brokers
		},
		open: openKafka, durability: func(c *config.Config) string { return "KAFKA_DURABILITY=" + c.Kafka.Durability },
	},
	{
		name: config.EnginePostgres, settings: postgresSettings, shards: never,
		where: func(*config.Config) string { return "engine postgres" },
		open:  openPostgres,

		durability: func(c *config.Config) string { return "POSTGRES_DURABILITY=" + c.PostgresDurability },
	},
}

// engineOf is the entry of the configured engine.
func engineOf(c *config.Config) (*engineEntry, error) {
	var known []string
	for i := range engines {
		if engines[i].name == c.Engine {
			return &engines[i], nil
		}
		known = append(known, engines[i].name)
	}
	return nil, invalid("ENGINE",
		fmt.Errorf("%q has no entry in the table of engines; use %s", c.Engine, strings.Join(known, " or ")))
}

// engineSettings are those of the commands that only talk to the engine.
var engineSettings = func() []string {
	names := []string{"ENGINE", "LOG_LEVEL", "LOG_FORMAT"}
	for _, e := range engines {
		names = append(names, e.settings...)
	}
	return names
}()

// newEngine makes the configured engine. It need not be reachable.
func newEngine(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	entry, err := engineOf(c)
	if err != nil {
		return nil, err
	}
	return entry.open(c, logger)
}

func openRedis(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	durability, err := redisstream.ParseDurability(c.RedisDurability)
	if err != nil {
		return nil, invalid("REDIS_DURABILITY", err)
	}
	e, err := redisstream.New(redisstream.Options{
		URL: c.RedisURL, Stream: c.RedisStream, MaxLen: c.RedisMaxLen, DeadMaxBytes: c.DeadLetterMaxBytes,
		MessageMaxBytes: c.MessageMaxBytes, Recall: c.RedisRecall, Shards: c.RedisShards,
		Durability: durability, ClientName: "tcp-ingestion-" + c.InstanceID, Logger: logger,
	})
	if err != nil {
		return nil, invalid("REDIS_URL", err)
	}
	return e, nil
}

func openEmbedded(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	return sqlite.New(sqlite.Options{
		Dir: c.DataDir, Retention: c.EmbeddedRetention, DeadLetterMaxBytes: c.DeadLetterMaxBytes,
		MessageMaxBytes: c.MessageMaxBytes, Logger: logger,
	})
}

// withoutRetention are the settings of a command that runs beside the service: what is too old or too much is the
// service's matter, which may have been given other limits. JetStream and Kafka remove by the limits of their streams
// and topics, which are those of whoever makes them.
func withoutRetention(c *config.Config) *config.Config {
	if c.Engine == config.EngineJetStream || c.Engine == config.EngineKafka {
		return c
	}
	kept := *c
	kept.RedisMaxLen, kept.EmbeddedRetention, kept.DeadLetterMaxBytes, kept.MessageMaxBytes = 0, 0, 0, 0
	kept.PostgresRetention = postgres.Elsewhere
	return &kept
}

// newReader makes the engine for a command that only reads, and may be of another version than the service.
func newReader(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	if c.Engine == config.EngineEmbedded {
		return sqlite.New(sqlite.Options{Dir: c.DataDir, Beside: true, Logger: logger})
	}
	return newEngine(withoutRetention(c), logger)
}

// openEngine makes the engine for a command that reads or mends what is stored beside the service: it keeps quiet,
// and leaves deleting what is old to the service.
func openEngine(cmd *cli.Command) (*config.Config, engine.Engine, *slog.Logger, error) {
	c, err := loadSettings(cmd, besideTheService)
	if err != nil {
		return nil, nil, nil, err
	}
	if !hasStore(c) {
		return nil, nil, nil, errNoStore(c)
	}
	logger, _ := newLogger(cmd, c)
	e, err := newEngine(withoutRetention(c), logger)
	if err != nil {
		return nil, nil, nil, cli.Exit(err.Error(), exitSettings)
	}
	return c, e, logger, nil
}

// able is the engine as one that can do more than every engine must.
func able[T any](e engine.Engine, c *config.Config, what string) (T, error) {
	more, ok := e.(T)
	if !ok {
		return more, cli.Exit(fmt.Sprintf("ENGINE=%s cannot %s", c.Engine, what), exitSettings)
	}
	return more, nil
}

// inspect asks the engine what it promises.
func inspect(e engine.Engine) func(context.Context) (engine.Durability, error) {
	if i, ok := e.(engine.Inspector); ok {
		return i.Inspect
	}
	return func(context.Context) (engine.Durability, error) {
		return engine.Durability{}, errors.New("the engine does not say what it promises")
	}
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
