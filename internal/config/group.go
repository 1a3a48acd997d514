package config

import "strings"

// groups are what settings are about, by how their names begin; the first that fits counts.
var groups = []struct {
	name     string
	prefixes []string
}{
	{"Ways in", []string{"TELTONIKA_PORT", "BIND_", "UDP_", "TLS_", "PROXY_"}},
	{"Redis", []string{"REDIS_", "CONTROL_REDIS_"}},
	{"JetStream", []string{"NATS_", "JETSTREAM_"}},
	{"Kafka", []string{"KAFKA_"}},
	{"Postgres", []string{"POSTGRES_"}},
	{"Embedded engine", []string{"DATA_DIR", "EMBEDDED_"}},
	{"Forwarding", []string{"FORWARD_"}},
	{"Mirror", []string{"MIRROR"}},
	{"Records", []string{"ENGINE", "PUBLISH_", "DEAD_LETTER_", "MESSAGE_", "RECORD_"}},
	{"Commands and the API", []string{"ADMIN_", "COMMAND_"}},
	{"Meaning of elements", []string{"SIGNALS", "DICTIONARY_", "DEVICE_MODELS", "LEARN_"}},
	{"Devices and limits", []string{"DEVICE_", "STRICT_", "UNLISTED_", "HANDSHAKE_", "IDLE_", "WRITE_", "MAX_"}},
}

// Group is what the setting is about, for people.
func (s *Setting) Group() string {
	for _, g := range groups {
		for _, prefix := range g.prefixes {
			if strings.HasPrefix(s.Name, prefix) {
				return g.name
			}
		}
	}
	return "Process"
}
