package config

import (
	"errors"
	"strings"
	"testing"
)

func TestKafkaSettings(t *testing.T) {
	c, err := Load(from(map[string]string{
		"ENGINE": "kafka", "KAFKA_BROKERS": " a:9092 ,[::1]:9093,", "KAFKA_GROUPS": "one, two", "KAFKA_TLS": "true",
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hunter2",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := Kafka{
		Brokers: "a:9092,[::1]:9093", Topic: "telemetry.teltonika", Durability: "quorum", Compression: "zstd",
		Groups: "one,two", TLS: true, SASLMechanism: "SCRAM-SHA-512", SASLUsername: "u", SASLPassword: "hunter2",
	}
	if c.Kafka != want || c.Engine != EngineKafka {
		t.Errorf("%+v, want %+v", c.Kafka, want)
	}
}

// Each wrong set of settings is refused under the name of the one that is to be changed, and no password is shown.
func TestWrongKafkaSettings(t *testing.T) {
	brokers := "KAFKA_BROKERS=a:9092 "
	for settings, wrong := range map[string]string{
		"ENGINE=kafka": "KAFKA_BROKERS", "KAFKA_BROKERS=a": "KAFKA_BROKERS", "KAFKA_BROKERS=:9092": "KAFKA_BROKERS",
		"KAFKA_BROKERS=a:0": "KAFKA_BROKERS", "KAFKA_BROKERS=http://a:1": "KAFKA_BROKERS",
		"KAFKA_TOPIC=a/b": "KAFKA_TOPIC", "KAFKA_TOPIC=..": "KAFKA_TOPIC", "KAFKA_DURABILITY=all": "KAFKA_DURABILITY",
		"KAFKA_COMPRESSION=zip":                                                 "KAFKA_COMPRESSION",
		"KAFKA_GROUPS=" + strings.Repeat("g,", 51):                              "KAFKA_GROUPS",
		brokers + "KAFKA_TLS_CA_FILE=/ca.pem":                                   "KAFKA_TLS_CA_FILE",
		"KAFKA_TLS=true KAFKA_TLS_CERT_FILE=/c":                                 "KAFKA_TLS_KEY_FILE",
		"KAFKA_TLS=true KAFKA_TLS_KEY_FILE=/k":                                  "KAFKA_TLS_CERT_FILE",
		"KAFKA_SASL_MECHANISM=GSSAPI":                                           "KAFKA_SASL_MECHANISM",
		"KAFKA_SASL_PASSWORD=hunter2":                                           "KAFKA_SASL_MECHANISM",
		"KAFKA_SASL_MECHANISM=PLAIN KAFKA_SASL_USERNAME=u":                      "KAFKA_SASL_PASSWORD",
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-256 KAFKA_SASL_PASSWORD=hunter2":        "KAFKA_SASL_USERNAME",
		"KAFKA_SASL_MECHANISM=OAUTHBEARER KAFKA_SASL_USERNAME=u":                "KAFKA_SASL_TOKEN_FILE",
		"KAFKA_SASL_MECHANISM=hunter2 KAFKA_SASL_PASSWORD=hunter3 KAFKA_TLS=no": "KAFKA_TLS",
	} {
		values := map[string]string{}
		for _, one := range strings.Fields(settings) {
			name, value, _ := strings.Cut(one, "=")
			values[name] = value
		}
		_, err := Load(from(values))
		var invalid *Error
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "\n  "+wrong+": ") {
			t.Errorf("%s: the error does not name %s: %v", settings, wrong, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter3") {
			t.Errorf("%s: the password is shown: %v", settings, err)
		}
	}
}
