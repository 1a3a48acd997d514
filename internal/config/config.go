// Package config is the settings as plain data: their names, defaults and meanings, and what is wrong with them.
// It knows nothing of what they configure.
package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// The engines, values of Config.Engine.
const (
	EngineRedis    = "redis"
	EngineEmbedded = "embedded"
)

// The device authorities, values of Config.DeviceAuthorityMode.
const (
	AuthorityAllowAll  = "allow_all"
	AuthorityRedisList = "redis_allow_list"
	AuthorityFileList  = "file_allow_list"
)

// defaultAllowList is the key of the Redis set of known devices.
const defaultAllowList = "devices:allowlist"

// Config is a valid set of settings.
type Config struct {
	InstanceID string
	LogLevel   slog.Level
	// LogLevelFile, if set, holds a level that wins over LogLevel; see ParseLevel.
	LogLevelFile string
	LogText      bool

	TeltonikaPort int    // 0 = any free port
	BindAddress   string // empty = all

	Engine            string
	DataDir           string
	EmbeddedRetention time.Duration // 0 = for ever
	RedisURL          string        // may hold a password: never log it
	RedisStream       string
	RedisMaxLen       int64  // 0 = no trimming
	RedisDurability   string // reply, fsync or replicas=N

	PublishQueueCapacity int // records
	PublishTimeout       time.Duration

	MetricsPort  int    // 0 = any free port
	PprofAddress string // loopback address and port; empty = off

	DeviceAuthorityMode    string
	DeviceAllowList        string // key of a Redis set, or path of a file
	DeviceAllowListRefresh time.Duration
	StrictDeviceAuth       bool

	HandshakeTimeout time.Duration
	IdleTimeout      time.Duration
	WriteTimeout     time.Duration
	MaxConnections   int // 0 = 90 % of the file-descriptor limit
	MaxFrameBytes    int

	DrainTimeout    time.Duration
	ShutdownTimeout time.Duration

	RecordRaw bool
}

// Problem is one wrong setting.
type Problem struct {
	Setting string // its name
	Text    string // what is wrong and what to do; never a secret
}

// Error names every wrong setting.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("invalid settings:")
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s: %s", p.Setting, p.Text)
	}
	return b.String()
}

// Load reads the settings. lookup returns a setting's value by its name; an empty value counts as not set.
// The error is an *Error that names every wrong setting.
func Load(lookup func(name string) string) (*Config, error) {
	c := &Config{}
	var problems []Problem
	for _, s := range Settings {
		value := strings.TrimSpace(lookup(s.Name))
		if value == "" {
			value = s.Default
		}
		if err := s.set(c, value); err != nil {
			problems = append(problems, Problem{s.Name, s.describe(value, err)})
		}
	}
	problems = append(problems, c.contradictions()...)
	if len(problems) > 0 {
		return nil, &Error{problems}
	}
	return c, nil
}

func (s *Setting) describe(value string, err error) string {
	if s.Secret {
		return err.Error()
	}
	const shown = 80
	if len(value) > shown {
		value = value[:shown] + "..."
	}
	return fmt.Sprintf("%q: %v", value, err)
}

// contradictions are problems between settings that are valid each for itself.
func (c *Config) contradictions() []Problem {
	var problems []Problem
	if c.Engine == "" {
		c.Engine = EngineEmbedded
		if c.RedisURL != "" {
			c.Engine = EngineRedis
		}
	}
	if c.Engine == EngineRedis && c.RedisURL == "" {
		problems = append(problems, Problem{"REDIS_URL",
			"not set, but ENGINE is redis; set it to redis://host:6379, or ENGINE to embedded"})
	}
	if c.DeviceAuthorityMode == AuthorityRedisList && c.RedisURL == "" {
		problems = append(problems, Problem{"REDIS_URL",
			"not set, but DEVICE_AUTHORITY_MODE is redis_allow_list; set it to the Redis that holds the list, or use file_allow_list"})
	}
	if c.DeviceAuthorityMode == AuthorityFileList && c.DeviceAllowList == defaultAllowList {
		problems = append(problems, Problem{"DEVICE_ALLOW_LIST",
			"not set, but DEVICE_AUTHORITY_MODE is file_allow_list; set it to the path of a file with one IMEI a line"})
	}
	if c.TeltonikaPort == c.MetricsPort && c.MetricsPort != 0 {
		problems = append(problems, Problem{"METRICS_PORT", fmt.Sprintf(
			"%d is TELTONIKA_PORT as well; use another port for one of them", c.MetricsPort)})
	}
	if c.DrainTimeout > c.ShutdownTimeout {
		problems = append(problems, Problem{"DRAIN_TIMEOUT_MS", fmt.Sprintf(
			"%v is above SHUTDOWN_TIMEOUT_MS (%v), of which it is a part; lower it or raise the other",
			c.DrainTimeout, c.ShutdownTimeout)})
	}
	return problems
}
