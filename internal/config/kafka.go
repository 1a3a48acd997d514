package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Kafka are the settings of ENGINE=kafka.
type Kafka struct {
	Brokers      string // host:port, separated by commas
	Topic        string
	Durability   string // KafkaQuorum or KafkaLeader
	Compression  string // none, gzip, snappy, lz4 or zstd
	CreateTopics bool
	Groups       string // whose lag is shown, separated by commas; empty = none

	TLS         bool
	TLSCAFile   string
	TLSCertFile string
	TLSKeyFile  string

	SASLMechanism string // empty = none
	SASLUsername  string
	SASLPassword  string // never log it
	SASLTokenFile string
}

// The durabilities, values of Kafka.Durability.
const (
	KafkaQuorum = "quorum"
	KafkaLeader = "leader"
)

const saslOAuth = "OAUTHBEARER"

func isHostPort(v string) bool {
	host, port, err := net.SplitHostPort(v)
	n, portErr := strconv.Atoi(port)
	return err == nil && host != "" && portErr == nil && 1 <= n && n <= 65535
}

func parseBrokers(dst *string, v string) error {
	entries := list(v)
	for _, entry := range entries {
		if !isHostPort(entry) {
			return errors.New("use host:port,host:port, such as kafka-1:9092,kafka-2:9092")
		}
	}
	*dst = strings.Join(entries, ",")
	return nil
}

// topic is what Kafka takes, with room for what is added to it.
var topic = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func parseTopic(dst *string, v string) error {
	if !topic.MatchString(v) || strings.Trim(v, ".") == "" {
		return errors.New("use 1 to 200 letters, digits, dots, dashes and underscores")
	}
	*dst = v
	return nil
}

const maxGroups = 50

func parseGroups(dst *string, v string) error {
	entries := list(v)
	if len(entries) > maxGroups {
		return fmt.Errorf("use %d groups at most", maxGroups)
	}
	*dst = strings.Join(entries, ",")
	return nil
}

// list is what stands between the commas, without empty entries.
func list(v string) (entries []string) {
	for entry := range strings.SplitSeq(v, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (c *Config) kafkaContradictions() (problems []Problem) {
	wrong := func(applies bool, setting, text string) {
		if applies {
			problems = append(problems, Problem{setting, text})
		}
	}
	k := &c.Kafka
	wrong(c.Engine == EngineKafka && k.Brokers == "", "KAFKA_BROKERS",
		"not set, but ENGINE is kafka; set it to host:9092 of one or more brokers")
	for _, file := range []struct{ setting, path string }{
		{"KAFKA_TLS_CA_FILE", k.TLSCAFile}, {"KAFKA_TLS_CERT_FILE", k.TLSCertFile}, {"KAFKA_TLS_KEY_FILE", k.TLSKeyFile},
	} {
		wrong(file.path != "" && !k.TLS, file.setting, "has no effect: set KAFKA_TLS=true")
	}
	wrong(k.TLSCertFile != "" && k.TLSKeyFile == "", "KAFKA_TLS_KEY_FILE",
		"not set, but KAFKA_TLS_CERT_FILE is; set it to the path of the certificate's key")
	wrong(k.TLSCertFile == "" && k.TLSKeyFile != "", "KAFKA_TLS_CERT_FILE",
		"not set, but KAFKA_TLS_KEY_FILE is; set it to the path of the key's certificate")
	byPassword := k.SASLMechanism != "" && k.SASLMechanism != saslOAuth
	wrong(byPassword && k.SASLUsername == "", "KAFKA_SASL_USERNAME",
		fmt.Sprintf("not set, but KAFKA_SASL_MECHANISM is %s; set it to the user's name", k.SASLMechanism))
	wrong(byPassword && k.SASLPassword == "", "KAFKA_SASL_PASSWORD",
		fmt.Sprintf("not set, but KAFKA_SASL_MECHANISM is %s; set it to the user's password", k.SASLMechanism))
	wrong(k.SASLMechanism == saslOAuth && k.SASLTokenFile == "", "KAFKA_SASL_TOKEN_FILE",
		"not set, but KAFKA_SASL_MECHANISM is OAUTHBEARER; set it to the path of a file with the token")
	wrong(k.SASLMechanism == "" && (k.SASLUsername != "" || k.SASLPassword != "" || k.SASLTokenFile != ""),
		"KAFKA_SASL_MECHANISM",
		"not set, so the user, the password and the token have no effect; set it to SCRAM-SHA-512, for example")
	return problems
}
