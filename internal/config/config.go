// Package config is the settings as plain data: their names, defaults and meanings, and what is wrong with them.
// It knows nothing of what they configure.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// The engines, values of Config.Engine.
const (
	EngineRedis    = "redis"
	EngineEmbedded = "embedded"
	EngineKafka    = "kafka"

	EngineJetStream = "jetstream"
	EnginePostgres  = "postgres"
)

// Engines are all of them.
var Engines = []string{EngineRedis, EngineEmbedded, EngineJetStream, EngineKafka, EnginePostgres}

// The device authorities, values of Config.DeviceAuthorityMode.
const (
	AuthorityAllowAll  = "allow_all"
	AuthorityRedisList = "redis_allow_list"
	AuthorityFileList  = "file_allow_list"
)

// The ways to ask for a device's certificate, values of Config.TLSClientAuth.
const (
	ClientAuthNone     = "none"
	ClientAuthOptional = "optional"
	ClientAuthRequire  = "require"
)

// ModelsInRedis is the value of Config.DeviceModels for a hash in the control Redis.
const ModelsInRedis = "redis"

// defaultAllowList is the key of the Redis set of known devices.
const defaultAllowList = "devices:allowlist"

// The values of LOG_FORMAT.
const (
	LogJSON = "json"
	LogText = "text"
)

// Config is a valid set of settings.
type Config struct {
	InstanceID string
	LogLevel   slog.Level
	// LogLevelFile, if set, holds a level that wins over LogLevel; see ParseLevel.
	LogLevelFile string
	LogFormat    string // LogJSON, LogText, or empty: text on a terminal, else JSON

	TeltonikaPort int    // 0 = any free port, negative = off
	BindAddress   string // addresses separated by commas; empty = all
	UDPPort       int    // 0 = any free port, negative = off

	TLSPort         int // 0 = any free port, negative = off
	TLSDetect       bool
	TLSCertFile     string
	TLSKeyFile      string
	TLSClientCAFile string
	TLSClientAuth   string // none, optional or require
	TLSBindIMEI     bool
	TLSMinVersion   string // 1.0 to 1.3

	ProxyProtocolFrom string // addresses and networks separated by commas; empty = off

	Engine            string
	DataDir           string
	EmbeddedRetention time.Duration // 0 = for ever
	RedisURL          string        // may hold a password: never log it
	RedisStream       string
	RedisMaxLen       int64  // 0 = no trimming
	RedisRecall       bool   // look in the stream for what devices send again
	RedisDurability   string // reply, fsync, quorum or replicas=N
	RedisShards       int    // of a cluster
	RedisAllowReply   bool   // a cluster may lose what it has confirmed

	// ControlRedisURL is the Redis of what is not records: commands, who holds which device, the allow-list. Without the
	// setting it is RedisURL where the engine is a Redis that is no cluster; empty: commands are in DataDir. It may hold
	// a password: never log it.
	ControlRedisURL string

	NATSURL             string // may hold a password: never log it
	NATSCreds           string // path of a file; empty = none
	NATSCAFile          string // paths of PEM files; empty = none
	NATSCertFile        string
	NATSKeyFile         string
	JetStreamShards     int
	JetStreamDurability string // quorum or leader
	JetStreamCreate     bool

	Kafka Kafka

	Forward Forward

	PostgresURL        string        // may hold a password: never log it
	PostgresDurability string        // commit or replica
	PostgresRetention  time.Duration // 0 = for ever

	Mirror Mirror

	DeadLetterMaxBytes int64 // of all dead letters that are kept; 0 = no bound
	MessageMaxBytes    int64 // of all messages that are kept; 0 = no bound

	PublishQueueCapacity int // records
	PublishTimeout       time.Duration

	MetricsPort  int    // 0 = any free port
	PprofAddress string // loopback address and port; empty = off

	AdminAddress      string // address and port, 0 = any free one; empty = off
	AdminToken        string // empty = none is asked for; never log it
	CommandPolicy     string // path of a file; empty = the default policy
	CommandsFile      string // path of a file of named commands; empty = the embedded ones only
	CommandQuarantine time.Duration

	DeviceAuthorityMode    string
	DeviceAllowList        string // key of a Redis set, or path of a file
	DeviceAllowListRefresh time.Duration
	StrictDeviceAuth       bool

	UnlistedRecordRate        int // a second; 0 = no bound
	UnlistedAddressRecordRate int // a second; 0 = no bound
	UnlistedAddressByteRate   int // a second; 0 = no bound

	HandshakeTimeout time.Duration
	IdleTimeout      time.Duration
	WriteTimeout     time.Duration
	MaxConnections   int // 0 = what the file-descriptor limit allows
	MaxFrameBytes    int

	DrainDelay      time.Duration // 0 = none
	CloseSpread     time.Duration // 0 = after the drain
	ShedAbove       int           // connected devices; 0 = off
	DrainTimeout    time.Duration // a part of ShutdownTimeout
	ShutdownTimeout time.Duration // behind DrainDelay and CloseSpread

	Signals   bool
	RecordRaw bool

	DictionaryOverrides string // path of a file; empty = none
	DeviceModels        string // path of a file, or ModelsInRedis; empty = none
	LearnModel          bool
}

// Problem is one wrong setting.
type Problem struct {
	Setting string // its name
	Text    string // what is wrong and what to do; never a secret
}

// Error names every wrong setting.
type Error struct {
	Problems []Problem
	From     []string // see At; may be shorter than Problems
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("invalid settings:")
	for i, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s%s: %s", p.Setting, where(e.At(i)), p.Text)
	}
	return b.String()
}

// At is where a problem stands, empty if that is nowhere.
func (e *Error) At(i int) string {
	if i < len(e.From) {
		return e.From[i]
	}
	return ""
}

// where is what stands behind a setting's name.
func where(from string) string {
	if from == "" {
		return ""
	}
	return " (" + from + ")"
}

// Load reads settings that stand in one place. lookup returns a setting's value by its name; an empty value counts as
// not set. The error is an *Error that names every wrong setting.
func Load(lookup func(name string) string) (*Config, error) {
	return Gather(nil, nil, func(s *Setting) (Found, bool) {
		value := lookup(s.Name)
		return Found{Value: value}, strings.TrimSpace(value) != ""
	}).Load()
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
	if c.Engine == EnginePostgres && c.PostgresURL == "" {
		problems = append(problems, Problem{"POSTGRES_URL",
			"not set, but ENGINE is postgres; set it to postgres://user:password@host:5432/database"})
	}
	problems = append(problems, c.natsContradictions()...)
	if c.ControlRedisURL == "" && c.Engine == EngineRedis && !c.RedisCluster() {
		c.ControlRedisURL = c.RedisURL
	}
	nor := "nor REDIS_URL"
	if c.RedisCluster() {
		nor = "and REDIS_URL is a cluster"
	}
	if c.DeviceAuthorityMode == AuthorityRedisList && c.AllowListURL() == "" {
		problems = append(problems, Problem{"CONTROL_REDIS_URL",
			"not set, " + nor + ", but DEVICE_AUTHORITY_MODE is redis_allow_list; " +
				"set it to the Redis that holds the list, or use file_allow_list"})
	}
	if c.DeviceModels == ModelsInRedis && c.AllowListURL() == "" {
		problems = append(problems, Problem{"CONTROL_REDIS_URL",
			"not set, " + nor + ", but DEVICE_MODELS is redis; set it to the Redis that holds the models, or use a file"})
	}
	problems = append(problems, c.clusterContradictions()...)
	if c.DeviceAuthorityMode == AuthorityFileList && c.DeviceAllowList == defaultAllowList {
		problems = append(problems, Problem{"DEVICE_ALLOW_LIST",
			"not set, but DEVICE_AUTHORITY_MODE is file_allow_list; set it to the path of a file with one IMEI a line"})
	}
	problems = append(problems, c.kafkaContradictions()...)
	problems = append(problems, c.forwardContradictions()...)
	problems = append(problems, c.samePorts()...)
	problems = append(problems, c.mirrorContradictions()...)
	problems = append(problems, c.tlsContradictions()...)
	if c.TeltonikaPort < 0 && c.TLSPort < 0 && c.UDPPort < 0 {
		problems = append(problems, Problem{"TELTONIKA_PORT",
			"is off, and so are TLS_PORT and UDP_PORT; set one of them, or no device can come in"})
	}
	if host, _, err := net.SplitHostPort(c.AdminAddress); err == nil && !isLoopback(host) && c.AdminToken == "" {
		problems = append(problems, Problem{"ADMIN_TOKEN", fmt.Sprintf(
			"not set, but ADMIN_ADDRESS is %q, which other machines reach; set it to at least %d random characters, or "+
				"use a loopback address such as 127.0.0.1:9091",
			c.AdminAddress, minToken)})
	}
	if c.DrainTimeout > c.ShutdownTimeout {
		problems = append(problems, Problem{"DRAIN_TIMEOUT_MS", fmt.Sprintf(
			"%v is above SHUTDOWN_TIMEOUT_MS (%v), of which it is a part; lower it or raise the other",
			c.DrainTimeout, c.ShutdownTimeout)})
	}
	return problems
}

// StopTime is the longest that a stop takes.
func (c *Config) StopTime() time.Duration { return c.DrainDelay + c.CloseSpread + c.ShutdownTimeout }

// RedisCluster reports whether RedisURL is that of a cluster.
func (c *Config) RedisCluster() bool { return isCluster(c.RedisURL) }

// AllowListURL is the Redis of the allow-list: the control Redis, else REDIS_URL, which may be set for the list alone.
// A cluster does not hold it.
func (c *Config) AllowListURL() string {
	if c.RedisCluster() {
		return c.ControlRedisURL
	}
	return cmp.Or(c.ControlRedisURL, c.RedisURL)
}

func (c *Config) clusterContradictions() (problems []Problem) {
	if c.Engine != EngineRedis {
		return nil
	}
	if !c.RedisCluster() && c.RedisShards > 1 {
		problems = append(problems, Problem{"REDIS_SHARDS",
			"has no effect on a Redis that is no cluster; leave it out, or set REDIS_URL to redis+cluster://host:6379"})
	}
	unsafe := c.RedisDurability == "reply" || c.RedisDurability == "fsync"
	if c.RedisCluster() && unsafe && !c.RedisAllowReply {
		problems = append(problems, Problem{"REDIS_DURABILITY", fmt.Sprintf(
			"is %s, with which a cluster's failover loses what was acknowledged; set it to replicas=1 and have two replicas "+
				"of each master, or to quorum; or allow the loss with REDIS_CLUSTER_ALLOW_REPLY=true", c.RedisDurability)})
	}
	return problems
}

// TLS reports whether any listener takes TLS.
func (c *Config) TLS() bool { return c.TLSPort >= 0 || c.TLSDetect }

func (c *Config) tlsContradictions() []Problem {
	var problems []Problem
	wrong := func(setting, text string) { problems = append(problems, Problem{setting, text}) }
	files := []struct{ setting, path string }{{"TLS_CERT_FILE", c.TLSCertFile}, {"TLS_KEY_FILE", c.TLSKeyFile}}
	for _, file := range files {
		switch {
		case c.TLS() && file.path == "":
			wrong(file.setting, "not set, but TLS_PORT or TLS_DETECT is; set it to the path of a PEM file")
		case !c.TLS() && file.path != "":
			wrong(file.setting, "has no effect: set TLS_PORT, or TLS_DETECT=true for TLS on TELTONIKA_PORT")
		}
	}
	switch {
	case c.TLSClientAuth == "": // wrong itself
	case c.TLSClientAuth != ClientAuthNone && c.TLSClientCAFile == "":
		wrong("TLS_CLIENT_CA_FILE",
			"not set, but TLS_CLIENT_AUTH asks for certificates; set it to the PEM file of the CA that issues them")
	case c.TLSClientAuth == ClientAuthNone && c.TLSClientCAFile != "":
		wrong("TLS_CLIENT_AUTH", "is none, so TLS_CLIENT_CA_FILE has no effect; set it to optional or require")
	}
	if c.TLSDetect && c.TeltonikaPort < 0 {
		wrong("TLS_DETECT", "is of TELTONIKA_PORT, which is off; set TLS_PORT instead")
	}
	if c.TLSBindIMEI && c.TLSClientAuth == ClientAuthNone {
		wrong("TLS_CLIENT_AUTH", "is none, but TLS_BIND_IMEI needs certificates; set it to optional or require")
	}
	return problems
}

func (c *Config) natsContradictions() []Problem {
	var problems []Problem
	if c.Engine == EngineJetStream && c.NATSURL == "" {
		problems = append(problems, Problem{"NATS_URL",
			"not set, but ENGINE is jetstream; set it to nats://host:4222, several separated by commas"})
	}
	if (c.NATSCertFile == "") != (c.NATSKeyFile == "") {
		problems = append(problems, Problem{"NATS_TLS_CERT_FILE",
			"a certificate needs its key; set both NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE, or neither"})
	}
	return problems
}

// samePorts are the listeners that would take each other's port.
func (c *Config) samePorts() []Problem {
	listeners := []struct {
		setting string
		port    int
	}{
		{"TELTONIKA_PORT", max(0, c.TeltonikaPort)}, {"TLS_PORT", max(0, c.TLSPort)}, {"METRICS_PORT", c.MetricsPort},
		{"ADMIN_ADDRESS", portOf(c.AdminAddress)}, {"PPROF_ADDRESS", portOf(c.PprofAddress)},
	}
	var problems []Problem
	for i, l := range listeners {
		for _, other := range listeners[:i] {
			if l.port == other.port && l.port != 0 {
				problems = append(problems, Problem{l.setting, fmt.Sprintf(
					"%d is the port of %s as well; use another port for one of them", l.port, other.setting)})
			}
		}
	}
	return problems
}

// portOf is the port of an address, 0 if it is any free one or there is no address.
func portOf(address string) int {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}
