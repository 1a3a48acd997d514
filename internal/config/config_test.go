package config

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

func from(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestDefaults(t *testing.T) {
	c, err := Load(from(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^local-[0-9a-f]{8}$`).MatchString(c.InstanceID) {
		t.Errorf("instance id %q", c.InstanceID)
	}
	c.InstanceID = ""
	want := Config{
		LogLevel: slog.LevelInfo, TeltonikaPort: 5027, UDPPort: -1, TLSPort: -1, TLSClientAuth: "none", TLSMinVersion: "1.2",
		Engine: EngineEmbedded, DataDir: "./data",
		EmbeddedRetention: 720 * time.Hour, RedisStream: "telemetry:teltonika", RedisMaxLen: 1000000, RedisRecall: true,
		RedisDurability: "reply", RedisShards: 1,
		Kafka: Kafka{Topic: "telemetry.teltonika", Durability: "quorum", Compression: "zstd"},
		Forward: Forward{
			Group: "forward", Format: "native", BatchRecords: 500, BatchBytes: 1 << 20, BatchWait: time.Second,
			FileBytes: 64 << 20, FileAge: time.Hour,
			HTTP: ForwardHTTP{Gzip: true, Timeout: 30 * time.Second},
			MQTT: ForwardMQTT{Version: "5", Topic: "teltonika/{device_id}", InFlight: 100, Timeout: 30 * time.Second},
		},
		Mirror:             Mirror{ACK: "ours", AckTimeout: 10 * time.Second, BufferBytes: 256 << 20},
		DeadLetterMaxBytes: 1 << 30, MessageMaxBytes: 4 << 30, UnlistedAddressByteRate: 4 << 20,
		PublishQueueCapacity: 10000, PublishTimeout: 20 * time.Second, MetricsPort: 9090,
		JetStreamShards: 8, JetStreamDurability: "quorum", PostgresDurability: "commit", PostgresRetention: 720 * time.Hour,
		AdminAddress: "127.0.0.1:9091", CommandQuarantine: time.Minute,
		DeviceAuthorityMode: "allow_all", DeviceAllowList: "devices:allowlist", DeviceAllowListRefresh: 30 * time.Second,
		HandshakeTimeout: 30 * time.Second, IdleTimeout: 30 * time.Minute,
		WriteTimeout: 10 * time.Second, MaxFrameBytes: 65536, DrainTimeout: 10 * time.Second,
		ShutdownTimeout: 30 * time.Second, Signals: true,
	}
	if *c != want {
		t.Errorf("defaults\n got %+v\nwant %+v", *c, want)
	}
}

func TestEngineFollowsRedisURL(t *testing.T) {
	c, err := Load(from(map[string]string{"REDIS_URL": "redis://127.0.0.1:6379"}))
	if err != nil || c.Engine != EngineRedis {
		t.Errorf("engine %v, %v", c, err)
	}
	c, err = Load(from(map[string]string{"REDIS_URL": "redis://127.0.0.1:6379", "ENGINE": "embedded"}))
	if err != nil || c.Engine != EngineEmbedded {
		t.Errorf("engine %v, %v", c, err)
	}
}

func TestEveryWrongSettingIsNamed(t *testing.T) {
	wrong := map[string]string{
		"INSTANCE_ID": "a b", "LOG_LEVEL": "loud", "LOG_FORMAT": "xml", "TELTONIKA_PORT": "65536",
		"BIND_ADDRESS": "1.2.3.4:5", "ENGINE": "mysql", "EMBEDDED_RETENTION": "30", "REDIS_URL": "http://u:secret@h",
		"REDIS_STREAM_MAXLEN": "-1", "REDIS_DURABILITY": "replicas=0", "DEAD_LETTER_MAX_BYTES": "1GiB",
		"MESSAGE_MAX_BYTES":      "-1",
		"PUBLISH_QUEUE_CAPACITY": "254",
		"PUBLISH_TIMEOUT":        "soon", "METRICS_PORT": "x", "PPROF_ADDRESS": "0.0.0.0:6060",
		"DEVICE_AUTHORITY_MODE": "nobody",
		"ADMIN_ADDRESS":         "127.0.0.1", "ADMIN_TOKEN": "too short", "COMMAND_QUARANTINE": "11m",
		"DEVICE_ALLOW_LIST_REFRESH": "10ms", "STRICT_DEVICE_AUTH": "maybe",
		"HANDSHAKE_TIMEOUT": "0s", "IDLE_TIMEOUT": "-1s", "WRITE_TIMEOUT": "1", "MAX_CONNECTIONS": "0",
		"MAX_FRAME_BYTES": "100", "DRAIN_TIMEOUT_MS": "10s", "SHUTDOWN_TIMEOUT_MS": "0", "RECORD_RAW": "2",
		"MIRROR": "traccar", "MIRROR_ACK": "theirs", "MIRROR_ACK_TIMEOUT": "30s", "MIRROR_BUFFER_BYTES": "1",
	}
	_, err := Load(from(wrong))
	var invalid *Error
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v", err)
	}
	named := map[string]bool{}
	for _, p := range invalid.Problems {
		named[p.Setting] = true
		if !strings.Contains(p.Text, "use ") {
			t.Errorf("%s: %q does not say what to do", p.Setting, p.Text)
		}
	}
	for name := range wrong {
		if !named[name] {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func TestShortRetentionIsRefused(t *testing.T) {
	if _, err := Load(from(map[string]string{"EMBEDDED_RETENTION": "1ns"})); err == nil ||
		!strings.Contains(err.Error(), "1m") {
		t.Errorf("error %v", err)
	}
	if c, err := Load(from(map[string]string{"EMBEDDED_RETENTION": "0"})); err != nil || c.EmbeddedRetention != 0 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	if _, err := Load(from(map[string]string{"INSTANCE_ID": strings.Repeat("x", 5000)})); err == nil ||
		len(err.Error()) > 300 {
		t.Errorf("error %v", err)
	}
}

func TestContradictions(t *testing.T) {
	_, err := Load(from(map[string]string{"ENGINE": "redis", "DRAIN_TIMEOUT_MS": "40000", "METRICS_PORT": "5027"}))
	for _, name := range []string{"REDIS_URL", "DRAIN_TIMEOUT_MS", "METRICS_PORT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

func TestContradictionsOfTheMirror(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"MAX_FRAME_BYTES":          {"MIRROR": "old:5027", "MIRROR_BUFFER_BYTES": "4194304", "MAX_FRAME_BYTES": "262145"},
		"is this service itself":   {"MIRROR": "127.0.0.1:5027"},
		"::1]:5027 is this servic": {"MIRROR": "[::1]:5027"},
	} {
		if _, err := Load(from(env)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	right := map[string]string{"MIRROR": "127.0.0.1:5028", "MIRROR_BUFFER_BYTES": "4194304", "MAX_FRAME_BYTES": "262144"}
	if _, err := Load(from(right)); err != nil {
		t.Error(err)
	}
}

func TestContradictionsOfTheAllowList(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		wrong    string // setting; empty if all is well
	}{
		{map[string]string{"DEVICE_AUTHORITY_MODE": "redis_allow_list"}, "CONTROL_REDIS_URL"},
		{map[string]string{"DEVICE_AUTHORITY_MODE": "redis_allow_list", "CONTROL_REDIS_URL": "redis://h:1"}, ""},
		{map[string]string{"DEVICE_AUTHORITY_MODE": "redis_allow_list", "REDIS_URL": "redis://h:1"}, ""},
		{map[string]string{"DEVICE_AUTHORITY_MODE": "redis_allow_list", "REDIS_URL": "redis://h:1", "ENGINE": "embedded"},
			""},
		{map[string]string{"DEVICE_AUTHORITY_MODE": "file_allow_list"}, "DEVICE_ALLOW_LIST"},
		{map[string]string{"DEVICE_AUTHORITY_MODE": "file_allow_list", "DEVICE_ALLOW_LIST": "/etc/devices"}, ""},
	} {
		loaded, err := Load(from(c.settings))
		var invalid *Error
		switch {
		case c.wrong == "" && (err != nil || loaded.DeviceAuthorityMode != c.settings["DEVICE_AUTHORITY_MODE"]):
			t.Errorf("%v: %+v, %v", c.settings, loaded, err)
		case c.wrong != "" && (!errors.As(err, &invalid) || len(invalid.Problems) != 1 ||
			invalid.Problems[0].Setting != c.wrong):
			t.Errorf("%v: %v, want one problem with %s", c.settings, err, c.wrong)
		}
	}
}

// TestContradictionsOfACluster: it must not lose what is acknowledged unless somebody has said so, and holds records
// only.
func TestContradictionsOfACluster(t *testing.T) {
	const cluster = "rediss+cluster://a,b"
	for _, c := range []struct {
		settings map[string]string
		wrong    string // setting; empty if all is well
	}{
		{map[string]string{"REDIS_URL": cluster}, "REDIS_DURABILITY"},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "fsync"}, "REDIS_DURABILITY"},
		{map[string]string{"REDIS_URL": cluster, "REDIS_CLUSTER_ALLOW_REPLY": "true"}, ""},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "replicas=2", "REDIS_SHARDS": "64"}, ""},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "quorum"}, ""},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "quorum", "REDIS_SHARDS": "65"}, "REDIS_SHARDS"},
		{map[string]string{"REDIS_URL": "redis://h:1", "REDIS_SHARDS": "2"}, "REDIS_SHARDS"},
		{map[string]string{"CONTROL_REDIS_URL": cluster}, "CONTROL_REDIS_URL"},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "quorum",
			"DEVICE_MODELS": "redis"}, "CONTROL_REDIS_URL"},
		{map[string]string{"REDIS_URL": cluster, "REDIS_DURABILITY": "quorum",
			"DEVICE_AUTHORITY_MODE": "redis_allow_list"}, "CONTROL_REDIS_URL"},
	} {
		_, err := Load(from(c.settings))
		var invalid *Error
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%v: %v", c.settings, err)
		case c.wrong != "" && (!errors.As(err, &invalid) || len(invalid.Problems) != 1 ||
			invalid.Problems[0].Setting != c.wrong):
			t.Errorf("%v: %v, want one problem with %s", c.settings, err, c.wrong)
		}
	}
}

// TestControlRedis falls to REDIS_URL only where the records are there too.
func TestControlRedis(t *testing.T) {
	const records, own, cluster = "redis://records:1", "redis://control:2", "redis+cluster://u:p@a:1,b:2"
	for _, c := range []struct{ engine, redis, control, want, list string }{
		{"", "", "", "", ""},
		{"", records, "", records, records},
		{"", records, own, own, own},
		{"embedded", "", own, own, own},
		{"embedded", records, "", "", records},
		{"", cluster, "", "", ""},
		{"", cluster, own, own, own},
	} {
		loaded, err := Load(from(map[string]string{
			"ENGINE": c.engine, "REDIS_URL": c.redis, "CONTROL_REDIS_URL": c.control, "REDIS_DURABILITY": "replicas=1",
		}))
		if err != nil || loaded.ControlRedisURL != c.want || loaded.AllowListURL() != c.list {
			t.Errorf("%+v: %+v, %v", c, loaded, err)
		}
	}
}

func TestAdminAddress(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []struct {
		address, token string
		want           string // AdminAddress
		wrong          string // setting; empty if all is well
	}{
		{"", "", "127.0.0.1:9091", ""},
		{"off", "", "", ""},
		{"[::1]:0", "", "[::1]:0", ""},
		{"localhost:9091", "", "localhost:9091", ""},
		{"127.8.8.8:9091", token, "127.8.8.8:9091", ""},
		{":9091", token, ":9091", ""},
		{"tracker-1.example:9091", token, "tracker-1.example:9091", ""},
		{":9091", "", "", "ADMIN_TOKEN"},
		{"0.0.0.0:9091", "", "", "ADMIN_TOKEN"},
		{"localhost.example:9091", "", "", "ADMIN_TOKEN"},
		{"", token[1:], "", "ADMIN_TOKEN"},
		{"", token + " ", "127.0.0.1:9091", ""}, // trimmed
		{"", token + " x", "", "ADMIN_TOKEN"},
		{"", token + "\u00e9", "", "ADMIN_TOKEN"},
		{"127.0.0.1:65536", "", "", "ADMIN_ADDRESS"},
		{"127.0.0.1:http", "", "", "ADMIN_ADDRESS"},
		{"http://127.0.0.1:9091", "", "", "ADMIN_ADDRESS"},
		{"127.0.0.1:5027", "", "", "ADMIN_ADDRESS"},
		{"127.0.0.1:9090", "", "", "ADMIN_ADDRESS"},
	} {
		loaded, err := Load(from(map[string]string{"ADMIN_ADDRESS": c.address, "ADMIN_TOKEN": c.token}))
		var invalid *Error
		switch {
		case c.wrong == "" && (err != nil || loaded.AdminAddress != c.want):
			t.Errorf("%q %q: %+v, %v, want %q", c.address, c.token, loaded, err, c.want)
		case c.wrong != "" && (!errors.As(err, &invalid) || len(invalid.Problems) != 1 ||
			invalid.Problems[0].Setting != c.wrong):
			t.Errorf("%q %q: %v, want one problem with %s", c.address, c.token, err, c.wrong)
		case c.wrong != "" && c.token != "" && strings.Contains(err.Error(), c.token):
			t.Errorf("%q: the token is shown: %v", c.address, err)
		}
	}
	_, err := Load(from(map[string]string{"ADMIN_ADDRESS": "0.0.0.0:9091"}))
	if err == nil || !strings.Contains(err.Error(), "ADMIN_ADDRESS") || !strings.Contains(err.Error(), "ADMIN_TOKEN") {
		t.Errorf("%v does not name both settings", err)
	}
}

func TestPasswordsStaySecret(t *testing.T) {
	for _, u := range []string{
		"http://u:hunter2@h", "redis://u:hunter2%zz@h:1", "redis://:hunter2@", "redis+clusters://u:hunter2@h:1",
	} {
		for _, setting := range []string{"REDIS_URL", "CONTROL_REDIS_URL"} {
			_, err := Load(from(map[string]string{setting: u}))
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: error %v", setting, u, err)
			}
		}
	}
}

// A value that cannot be used is one problem, and not a setting that is missing besides.
func TestWrongValueIsOneProblem(t *testing.T) {
	for name, values := range map[string]map[string]string{
		"REDIS_URL":         {"REDIS_URL": "redis://h:99999"},
		"CONTROL_REDIS_URL": {"CONTROL_REDIS_URL": "redis://h:0", "ENGINE": "embedded"},
		"NATS_URL":          {"NATS_URL": "nats://a:4222,nats://b:65536", "ENGINE": "jetstream"},
		"KAFKA_BROKERS":     {"KAFKA_BROKERS": "a:0", "ENGINE": "kafka"},
		"POSTGRES_URL":      {"POSTGRES_URL": "http://h", "ENGINE": "postgres"},
	} {
		_, err := Load(from(values))
		var wrong *Error
		if !errors.As(err, &wrong) || len(wrong.Problems) != 1 || wrong.Problems[0].Setting != name {
			t.Errorf("%v: %v, want one problem with %s", values, err, name)
		}
	}
}

// A port that is off needs another way in.
func TestPlainPortOff(t *testing.T) {
	load := func(values map[string]string) (*Config, error) {
		return Load(func(name string) string { return values[name] })
	}
	if c, err := load(map[string]string{"TELTONIKA_PORT": "off", "UDP_PORT": "5027"}); err != nil ||
		c.TeltonikaPort >= 0 || c.UDPPort != 5027 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := load(map[string]string{"TELTONIKA_PORT": "OFF"}); err == nil || !strings.Contains(err.Error(), "or off") {
		t.Errorf("%v does not say how to turn it off", err)
	}
	for _, c := range []struct {
		values map[string]string
		wrong  string
	}{
		{map[string]string{"TELTONIKA_PORT": "off"}, "TELTONIKA_PORT"},
		{map[string]string{"TELTONIKA_PORT": "off", "TLS_DETECT": "true", "TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k",
			"UDP_PORT": "1"}, "TLS_DETECT"},
		{map[string]string{"TLS_PORT": "5028"}, "TLS_CERT_FILE"},
		{map[string]string{"TLS_CERT_FILE": "c"}, "TLS_CERT_FILE"},
		{map[string]string{"TLS_PORT": "5027", "TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k"}, "TLS_PORT"},
		{map[string]string{"TLS_PORT": "5028", "TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k", "TLS_CLIENT_AUTH": "require"},
			"TLS_CLIENT_CA_FILE"},
		{map[string]string{"TLS_PORT": "5028", "TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k", "TLS_BIND_IMEI": "true"},
			"TLS_CLIENT_AUTH"},
	} {
		_, err := load(c.values)
		var invalid *Error
		if !errors.As(err, &invalid) || invalid.Problems[0].Setting != c.wrong {
			t.Errorf("%v: %v, want a problem of %s", c.values, err, c.wrong)
		}
	}
}
