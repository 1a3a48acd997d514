package config

import (
	"slices"
	"strings"
	"time"
)

// Setting is one setting: an environment variable and, in lower case with dashes, a flag.
type Setting struct {
	Name    string
	Default string // as text, empty if it has none or a computed one
	Help    string
	Bool    bool   // the flag may stand without a value
	Secret  bool   // the value may hold a password: a file may have it instead, and nothing shows it
	List    bool   // values separated by commas, which may be a list in a file
	IfEmpty string // what a value means that is set and empty; if this is empty too, it counts as not set

	SecretFile bool   // the value is the path of a file with a secret in it
	OfSecret   string // the secret that is in the file that this setting names, empty for others

	readAgain bool // whoever needs the secret reads its file, each time anew
	set       func(*Config, string) error
}

// Flag is the name of the setting's flag.
func (s *Setting) Flag() string { return strings.ToLower(strings.ReplaceAll(s.Name, "_", "-")) }

// maxRecordRate is more than any server stores.
const maxRecordRate = 10_000_000

// maxShards is what the engines take that have shards.
const maxShards = 64

// maxByteRate is more than any network brings.
const maxByteRate = 1_000_000_000

// maxStopPhase is longer than any service manager waits.
const maxStopPhase = time.Hour

const forever = time.Duration(1<<63 - 1)

// Settings are all settings, in the order in which they are shown.
var Settings = withFiles(slices.Concat(serviceSettings, forwardSettings, forwardSinkSettings))

var serviceSettings = []Setting{
	{Name: "INSTANCE_ID", Help: "this process in logs, metrics and streams (default local- and 8 hex digits)",
		set: func(c *Config, v string) error { return parseInstanceID(&c.InstanceID, v) }},
	{Name: "LOG_LEVEL", Default: "info", Help: "fatal, error, warn, info or debug",
		set: func(c *Config, v string) error { return parseLevel(&c.LogLevel, v) }},
	{Name: "LOG_LEVEL_FILE",
		Help: "file with the log level in its first line, read at start and at SIGHUP; wins over LOG_LEVEL",
		set:  func(c *Config, v string) error { c.LogLevelFile = v; return nil }},
	{Name: "LOG_FORMAT", Help: "json or text (default text on a terminal, else json)",
		set: func(c *Config, v string) error { c.LogFormat = v; return oneOf(v, "", LogJSON, LogText) }},
	{Name: "TELTONIKA_PORT", Default: "5027", Help: "TCP port for devices; 0 takes any free port, off takes none",
		set: func(c *Config, v string) error { return parseOptionalPort(&c.TeltonikaPort, v) }},
	{Name: "BIND_ADDRESS", List: true,
		Help: "addresses to listen on for devices, IPv4 or IPv6, separated by commas (default all)",
		set:  func(c *Config, v string) error { return parseAddresses(&c.BindAddress, v) }},
	{Name: "UDP_PORT",
		Help: "UDP port for devices, may be the number of TELTONIKA_PORT; 0 takes any free port (default off)",
		set:  func(c *Config, v string) error { return parseOptionalPort(&c.UDPPort, v) }},
	{Name: "TLS_PORT", Help: "TCP port for devices that speak TLS; 0 takes any free port (default off)",
		set: func(c *Config, v string) error { return parseOptionalPort(&c.TLSPort, v) }},
	{Name: "TLS_DETECT", Default: "false", Bool: true,
		Help: "take TLS on TELTONIKA_PORT too, by a connection's first byte",
		set:  func(c *Config, v string) error { return parseBool(&c.TLSDetect, v) }},
	{Name: "TLS_CERT_FILE",
		Help: "PEM file with the server's certificate and then its issuers; read again at SIGHUP and when it changes",
		set:  func(c *Config, v string) error { c.TLSCertFile = v; return nil }},
	{Name: "TLS_KEY_FILE", SecretFile: true,
		Help: "PEM file with its key, without passphrase",
		set:  func(c *Config, v string) error { c.TLSKeyFile = v; return nil }},
	{Name: "TLS_CLIENT_CA_FILE", Help: "PEM file with the CA that issues the devices' certificates",
		set: func(c *Config, v string) error { c.TLSClientCAFile = v; return nil }},
	{Name: "TLS_CLIENT_AUTH", Default: ClientAuthNone,
		Help: "whether devices show a certificate: none, optional or require",
		set: func(c *Config, v string) error {
			c.TLSClientAuth = v
			return oneOf(v, ClientAuthNone, ClientAuthOptional, ClientAuthRequire)
		}},
	{Name: "TLS_BIND_IMEI", Default: "false", Bool: true,
		Help: "a device's certificate must name the IMEI that it logs in with",
		set:  func(c *Config, v string) error { return parseBool(&c.TLSBindIMEI, v) }},
	{Name: "TLS_MIN_VERSION", Default: "1.2", Help: "oldest TLS version that is spoken: 1.0, 1.1, 1.2 or 1.3",
		set: func(c *Config, v string) error {
			c.TLSMinVersion = v
			return oneOf(v, "1.0", "1.1", "1.2", "1.3")
		}},
	{Name: "PROXY_PROTOCOL_FROM", List: true,
		Help: "balancers whose PROXY protocol header is required and believed: addresses and networks, separated by " +
			"commas (default none)",
		set: func(c *Config, v string) error { c.ProxyProtocolFrom = v; return nil }},
	{Name: "ENGINE",
		Help: "where records go: redis, embedded, jetstream, kafka or postgres (default redis if REDIS_URL is set, else " +
			"embedded)",
		set: func(c *Config, v string) error {
			c.Engine = v
			return oneOf(v, append([]string{""}, Engines...)...)
		}},
	{Name: "DATA_DIR", Default: "./data",
		Help: "directory of the embedded engine's telemetry.db, and of commands.db where no Redis keeps commands",
		set:  func(c *Config, v string) error { c.DataDir = v; return nil }},
	{Name: "EMBEDDED_RETENTION", Default: "720h",
		Help: "how long the embedded engine keeps records, counted while its machine is up; 0 keeps them for ever",
		set:  func(c *Config, v string) error { return parseRetention(&c.EmbeddedRetention, v) }},
	{Name: "REDIS_URL", Secret: true, Help: "redis://user:password@host:6379/0, " +
		"redis+sentinel://user:password@host1:26379,host2:26379/mymaster/0 or " +
		"redis+cluster://user:password@host1:6379,host2:6379; rediss… for TLS",
		set: func(c *Config, v string) error { return parseRedisURL(&c.RedisURL, v) }},
	{Name: "REDIS_SHARDS", Default: "1",
		Help: "with a cluster, streams that the devices are spread over, by xxHash64 of the IMEI; written beside the " +
			"data, another number is refused",
		set: func(c *Config, v string) error { return parseInt(&c.RedisShards, v, 1, maxShards) }},
	{Name: "REDIS_CLUSTER_ALLOW_REPLY", Default: "false", Bool: true,
		Help: "with a cluster, take REDIS_DURABILITY reply or fsync, with which a failover loses what was acknowledged",
		set:  func(c *Config, v string) error { return parseBool(&c.RedisAllowReply, v) }},
	{Name: "REDIS_TELEMETRY_STREAM", Default: "telemetry:teltonika", Help: "key of the stream of records",
		set: func(c *Config, v string) error { c.RedisStream = v; return nil }},
	{Name: "REDIS_STREAM_MAXLEN", Default: "1000000",
		Help: "approximate length that the stream is trimmed to, never beyond what every consumer group has " +
			"acknowledged; 0 keeps all",
		set: func(c *Config, v string) error { return parseInt(&c.RedisMaxLen, v, 0, 1<<62) }},
	{Name: "REDIS_RECALL", Default: "true",
		Help: "mark what each device has had stored last, and so know what it sends again after a lost ACK when it has " +
			"come from another instance or this one has restarted; false stores it a second time, with the same id",
		set: func(c *Config, v string) error { return parseBool(&c.RedisRecall, v) }},
	{Name: "REDIS_DURABILITY", Default: "reply",
		Help: "when a record counts as stored: reply, fsync (WAITAOF, or appendfsync always), replicas=N, or quorum " +
			"(fsynced at the master and one replica: Redis 7.2 or Valkey)",
		set: func(c *Config, v string) error { return parseDurability(&c.RedisDurability, v) }},
	{Name: "NATS_URL", Secret: true, List: true,
		Help: "servers of ENGINE=jetstream: nats://user:password@host:4222, or tls://, several separated by commas",
		set:  func(c *Config, v string) error { return parseNATSURL(&c.NATSURL, v) }},
	{Name: "NATS_CREDS", SecretFile: true,
		Help: "file with the user's credentials (JWT and seed) for NATS",
		set:  func(c *Config, v string) error { c.NATSCreds = v; return nil }},
	{Name: "NATS_TLS_CA_FILE",
		Help: "PEM file with the CA that issues the NATS servers' certificates (default the system's)",
		set:  func(c *Config, v string) error { c.NATSCAFile = v; return nil }},
	{Name: "NATS_TLS_CERT_FILE", Help: "PEM file with a certificate of the client's own for NATS",
		set: func(c *Config, v string) error { c.NATSCertFile = v; return nil }},
	{Name: "NATS_TLS_KEY_FILE", SecretFile: true,
		Help: "PEM file with its key, without passphrase",
		set:  func(c *Config, v string) error { c.NATSKeyFile = v; return nil }},
	{Name: "JETSTREAM_SHARDS", Default: "8",
		Help: "streams that the devices are spread over, by xxHash64 of the IMEI; written beside the data, " +
			"another number is refused",
		set: func(c *Config, v string) error { return parseInt(&c.JetStreamShards, v, 1, maxShards) }},
	{Name: "JETSTREAM_DURABILITY", Default: "quorum",
		Help: "quorum refuses streams with fewer than 3 copies or not in files; leader takes them as they are",
		set: func(c *Config, v string) error {
			c.JetStreamDurability = v
			return oneOf(v, "quorum", "leader")
		}},
	{Name: "JETSTREAM_CREATE", Default: "false", Bool: true, Help: "make the streams that are missing",
		set: func(c *Config, v string) error { return parseBool(&c.JetStreamCreate, v) }},
	{Name: "KAFKA_BROKERS", List: true,
		Help: "addresses of Kafka brokers, host:port, separated by commas; one that answers is enough",
		set:  func(c *Config, v string) error { return parseBrokers(&c.Kafka.Brokers, v) }},
	{Name: "KAFKA_TOPIC", Default: "telemetry.teltonika",
		Help: "topic of records; dead letters go to the one with .dead added, messages to the one with .messages",
		set:  func(c *Config, v string) error { return parseTopic(&c.Kafka.Topic, v) }},
	{Name: "KAFKA_DURABILITY", Default: KafkaQuorum,
		Help: "quorum: refuses topics with fewer than 3 replicas or min.insync.replicas below 2; leader: takes what there is",
		set: func(c *Config, v string) error {
			c.Kafka.Durability = v
			return oneOf(v, KafkaQuorum, KafkaLeader)
		}},
	{Name: "KAFKA_COMPRESSION", Default: "zstd", Help: "none, gzip, snappy, lz4 or zstd",
		set: func(c *Config, v string) error {
			c.Kafka.Compression = v
			return oneOf(v, "none", "gzip", "snappy", "lz4", "zstd")
		}},
	{Name: "KAFKA_CREATE_TOPICS", Default: "false", Bool: true,
		Help: "create the topics that are missing, with 12 partitions and, where there are brokers enough, 3 replicas",
		set:  func(c *Config, v string) error { return parseBool(&c.Kafka.CreateTopics, v) }},
	{Name: "KAFKA_GROUPS", List: true,
		Help: "consumer groups whose lag is shown, separated by commas, 50 at most (default none)",
		set:  func(c *Config, v string) error { return parseGroups(&c.Kafka.Groups, v) }},
	{Name: "KAFKA_TLS", Default: "false", Bool: true, Help: "speak TLS with the brokers",
		set: func(c *Config, v string) error { return parseBool(&c.Kafka.TLS, v) }},
	{Name: "KAFKA_TLS_CA_FILE", Help: "PEM file with the CA of the brokers' certificates (default: the system's)",
		set: func(c *Config, v string) error { c.Kafka.TLSCAFile = v; return nil }},
	{Name: "KAFKA_TLS_CERT_FILE", Help: "PEM file with the certificate that this service shows the brokers",
		set: func(c *Config, v string) error { c.Kafka.TLSCertFile = v; return nil }},
	{Name: "KAFKA_TLS_KEY_FILE", SecretFile: true,
		Help: "PEM file with its key, without passphrase",
		set:  func(c *Config, v string) error { c.Kafka.TLSKeyFile = v; return nil }},
	{Name: "KAFKA_SASL_MECHANISM", Help: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (default none)",
		set: func(c *Config, v string) error {
			c.Kafka.SASLMechanism = v
			return oneOf(v, "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", saslOAuth)
		}},
	{Name: "KAFKA_SASL_USERNAME", Help: "user for PLAIN and SCRAM",
		set: func(c *Config, v string) error { c.Kafka.SASLUsername = v; return nil }},
	{Name: "KAFKA_SASL_PASSWORD", Secret: true, Help: "password for PLAIN and SCRAM",
		set: func(c *Config, v string) error { c.Kafka.SASLPassword = v; return nil }},
	{Name: "KAFKA_SASL_TOKEN_FILE", SecretFile: true,
		Help: "file with the token for OAUTHBEARER, read again for each connection",
		set:  func(c *Config, v string) error { c.Kafka.SASLTokenFile = v; return nil }},
	{Name: "POSTGRES_URL", Secret: true,
		Help: "database of ENGINE=postgres: postgres://user:password@host:5432/database, several hosts separated by commas",
		set:  func(c *Config, v string) error { return parsePostgresURL(&c.PostgresURL, v) }},
	{Name: "POSTGRES_DURABILITY", Default: "commit",
		Help: "when a record counts as stored: commit (flushed by the server), or replica (a synchronous standby has it too)",
		set: func(c *Config, v string) error {
			c.PostgresDurability = v
			return oneOf(v, "commit", "replica")
		}},
	{Name: "POSTGRES_RETENTION", Default: "720h",
		Help: "how long PostgreSQL keeps records, counted while the service runs; 0 keeps them for ever",
		set:  func(c *Config, v string) error { return parseRetention(&c.PostgresRetention, v) }},
	{Name: "CONTROL_REDIS_URL", Secret: true,
		Help: "one ordinary Redis, or one with sentinels, for commands, who holds which device, and the allow-list " +
			"(default REDIS_URL if ENGINE is redis and no cluster; else commands are in DATA_DIR, for this instance's " +
			"devices only)",
		set: func(c *Config, v string) error { return parseControlRedisURL(&c.ControlRedisURL, v) }},
	{Name: "DEAD_LETTER_MAX_BYTES", Default: "1073741824",
		Help: "bytes that all dead letters together may take in the engine; 0 sets no bound",
		set:  func(c *Config, v string) error { return parseInt(&c.DeadLetterMaxBytes, v, 0, 1<<62) }},
	{Name: "MESSAGE_MAX_BYTES", Default: "4294967296",
		Help: "bytes that all messages together may take in the engine; 0 sets no bound",
		set:  func(c *Config, v string) error { return parseInt(&c.MessageMaxBytes, v, 0, 1<<62) }},
	{Name: "PUBLISH_QUEUE_CAPACITY", Default: "10000",
		Help: "records admitted and not yet stored; a frame is admitted whole or not at all",
		set:  func(c *Config, v string) error { return parseInt(&c.PublishQueueCapacity, v, 255, 100_000_000) }},
	{Name: "PUBLISH_TIMEOUT", Default: "20s",
		Help: "a frame not confirmed stored by then is not acknowledged (devices wait 30s)",
		set: func(c *Config, v string) error {
			return parseDuration(&c.PublishTimeout, v, 10*time.Millisecond, 5*time.Minute)
		}},
	{Name: "METRICS_PORT", Default: "9090", Help: "TCP port of /metrics, /healthz and /readyz; 0 takes any free port",
		set: func(c *Config, v string) error { return parseInt(&c.MetricsPort, v, 0, 65535) }},
	{Name: "ADMIN_ADDRESS", Default: DefaultAdminAddress, IfEmpty: adminOff,
		Help: "address and port of the API for commands to devices; port 0 takes any free one, off or an empty value none",
		set:  func(c *Config, v string) error { return parseAdminAddress(&c.AdminAddress, v) }},
	{Name: "ADMIN_TOKEN", Secret: true,
		Help: "who uses that API must send it, at least 16 characters; needed if ADMIN_ADDRESS is not a loopback address",
		set:  func(c *Config, v string) error { return parseAdminToken(&c.AdminToken, v) }},
	{Name: "COMMAND_POLICY",
		Help: "file of rules which commands may be sent, read again at SIGHUP (default: destructive ones need confirmation)",
		set:  func(c *Config, v string) error { c.CommandPolicy = v; return nil }},
	{Name: "COMMANDS_FILE",
		Help: "file of own commands with names, over those that are built in, read again at SIGHUP",
		set:  func(c *Config, v string) error { c.CommandsFile = v; return nil }},
	{Name: "COMMAND_QUARANTINE", Default: "60s",
		Help: "how long after a command's timeout its answer may still come: no other command is sent to the device " +
			"meanwhile",
		set: func(c *Config, v string) error {
			return parseDuration(&c.CommandQuarantine, v, 0, 10*time.Minute)
		}},
	{Name: "PPROF_ADDRESS",
		Help: "loopback address and port for profiles at /debug/pprof/, such as 127.0.0.1:6060 (default off)",
		set:  func(c *Config, v string) error { return parseLoopback(&c.PprofAddress, v) }},
	{Name: "DEVICE_AUTHORITY_MODE", Default: AuthorityAllowAll,
		Help: "which devices are known: allow_all, redis_allow_list (a set in CONTROL_REDIS_URL or REDIS_URL) " +
			"or file_allow_list",
		set: func(c *Config, v string) error {
			c.DeviceAuthorityMode = v
			return oneOf(v, AuthorityAllowAll, AuthorityRedisList, AuthorityFileList)
		}},
	{Name: "DEVICE_ALLOW_LIST", Default: defaultAllowList,
		Help: "key of the Redis set of IMEIs, or path of the file with one IMEI a line",
		set:  func(c *Config, v string) error { c.DeviceAllowList = v; return nil }},
	{Name: "DEVICE_ALLOW_LIST_REFRESH", Default: "30s", Help: "how often the allow-list is read again",
		set: func(c *Config, v string) error {
			return parseDuration(&c.DeviceAllowListRefresh, v, 100*time.Millisecond, forever)
		}},
	{Name: "STRICT_DEVICE_AUTH", Default: "false", Bool: true,
		Help: "refuse unknown devices instead of only labelling them, and disconnect those taken off the list",
		set:  func(c *Config, v string) error { return parseBool(&c.StrictDeviceAuth, v) }},
	{Name: "UNLISTED_RECORD_RATE", Default: "0",
		Help: "records a second that a device may store that is on no list, with 10 minutes' worth at once; 0 sets no bound",
		set:  func(c *Config, v string) error { return parseInt(&c.UnlistedRecordRate, v, 0, maxRecordRate) }},
	{Name: "UNLISTED_ADDRESS_RECORD_RATE", Default: "0",
		Help: "the same for all such devices of one address (IPv6: one /64)",
		set:  func(c *Config, v string) error { return parseInt(&c.UnlistedAddressRecordRate, v, 0, maxRecordRate) }},
	{Name: "UNLISTED_ADDRESS_BYTE_RATE", Default: "4194304",
		Help: "bytes a second of messages, and of records beyond 256 each, that such devices of one address may " +
			"store, with 64 s' worth at once: beyond it they are read later; 0 sets no bound",
		set: func(c *Config, v string) error { return parseInt(&c.UnlistedAddressByteRate, v, 0, maxByteRate) }},
	{Name: "HANDSHAKE_TIMEOUT", Default: "30s", Help: "time for the whole login",
		set: func(c *Config, v string) error {
			return parseDuration(&c.HandshakeTimeout, v, 10*time.Millisecond, forever)
		}},
	{Name: "IDLE_TIMEOUT", Default: "30m", Help: "a device that sends nothing for so long is disconnected",
		set: func(c *Config, v string) error { return parseDuration(&c.IdleTimeout, v, 10*time.Millisecond, forever) }},
	{Name: "WRITE_TIMEOUT", Default: "10s", Help: "a device that does not take an answer for so long is disconnected",
		set: func(c *Config, v string) error {
			return parseDuration(&c.WriteTimeout, v, 10*time.Millisecond, forever)
		}},
	{Name: "MAX_CONNECTIONS",
		Help: "device connections at once (default the file-descriptor limit less a tenth of it, 40 at least)",
		set: func(c *Config, v string) error {
			if v == "" {
				return nil
			}
			return parseInt(&c.MaxConnections, v, 1, 10_000_000)
		}},
	{Name: "MAX_FRAME_BYTES", Default: "65536", Help: "largest data field length of a frame",
		set: func(c *Config, v string) error { return parseInt(&c.MaxFrameBytes, v, 1280, 16<<20) }},
	{Name: "DRAIN_DELAY", Default: "0s",
		Help: "how long a stop begins with /readyz saying so and nothing else, for balancers to notice",
		set:  func(c *Config, v string) error { return parseDuration(&c.DrainDelay, v, 0, maxStopPhase) }},
	{Name: "CLOSE_SPREAD", Default: "0s",
		Help: "how long a stop then takes to close the connections, each served until its turn; 0 closes them after the " +
			"drain, within 2s",
		set: func(c *Config, v string) error { return parseDuration(&c.CloseSpread, v, 0, maxStopPhase) }},
	{Name: "SHED_ABOVE", Default: "0",
		Help: "connected devices above which this instance has some come back elsewhere, slowly; 0 is off",
		set:  func(c *Config, v string) error { return parseInt(&c.ShedAbove, v, 0, 10_000_000) }},
	{Name: "DRAIN_TIMEOUT_MS", Default: "10000", Help: "ms for sessions and the publish queue to finish when stopping",
		set: func(c *Config, v string) error { return parseMillis(&c.DrainTimeout, v) }},
	{Name: "SHUTDOWN_TIMEOUT_MS", Default: "30000", Help: "ms until a stop that hangs is given up with exit code 1",
		set: func(c *Config, v string) error { return parseMillis(&c.ShutdownTimeout, v) }},
	{Name: "SIGNALS", Default: "true", Bool: true,
		Help: "add to each payload what its elements mean: signals, faults, device, dict",
		set:  func(c *Config, v string) error { return parseBool(&c.Signals, v) }},
	{Name: "RECORD_RAW", Default: "false", Bool: true, Help: "add each record's raw bytes to its payload",
		set: func(c *Config, v string) error { return parseBool(&c.RecordRaw, v) }},
	{Name: "MIRROR", Help: "host:port of an old platform that gets what devices send by TCP or TLS, too (default none)",
		set: func(c *Config, v string) error { return parseHostPort(&c.Mirror.Address, v) }},
	{Name: "MIRROR_ACK", Default: "ours",
		Help: "ours: the old platform's answers are only compared; both: a frame is acknowledged when both have",
		set:  func(c *Config, v string) error { c.Mirror.ACK = v; return oneOf(v, MirrorOurs, MirrorBoth) }},
	{Name: "MIRROR_ACK_TIMEOUT", Default: "10s",
		Help: "how long a stored frame waits for the old platform with MIRROR_ACK=both; then it is not acknowledged",
		set: func(c *Config, v string) error {
			return parseDuration(&c.Mirror.AckTimeout, v, time.Second, 25*time.Second)
		}},
	{Name: "MIRROR_BUFFER_BYTES", Default: "268435456",
		Help: "bytes of frames that may wait for the old platform in DATA_DIR; the oldest are dropped for newer ones, and " +
			"counted",
		set: func(c *Config, v string) error { return parseInt(&c.Mirror.BufferBytes, v, 4<<20, 32<<30) }},
	{Name: "DICTIONARY_OVERRIDES",
		Help: "file of own definitions of elements, over the dictionary's; read again at SIGHUP and when it changes " +
			"(default none)",
		set: func(c *Config, v string) error { c.DictionaryOverrides = v; return nil }},
	{Name: "DEVICE_MODELS",
		Help: "which device is which model: file with an IMEI, or prefix*, and a model or family a line, read again at " +
			"SIGHUP and when it changes; or redis, for the hash devices:models in CONTROL_REDIS_URL or REDIS_URL (default none)",
		set: func(c *Config, v string) error { c.DeviceModels = v; return nil }},
	{Name: "LEARN_MODEL", Default: "false", Bool: true,
		Help: "ask each device of unknown model for it once (getver), after its first ACK",
		set:  func(c *Config, v string) error { return parseBool(&c.LearnModel, v) }},
}
