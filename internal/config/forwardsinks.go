package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// ForwardTLS are paths of PEM files for FORWARD_TO=https: and mqtts:. Empty = none, or the system's authorities.
type ForwardTLS struct{ CAFile, CertFile, KeyFile string }

// ForwardHTTP are the settings of FORWARD_TO=http: and https:.
type ForwardHTTP struct {
	Gzip      bool
	Timeout   time.Duration
	Key       string // signs requests; empty = see KeyFile; never log it
	KeyFile   string // path; empty = none
	Token     string // empty = see TokenFile; never log it
	TokenFile string // path; empty = none
	Header    string // "Name: value"; empty = none; never log it
}

// ForwardMQTT are the settings of FORWARD_TO=mqtt: and mqtts:.
type ForwardMQTT struct {
	Version      string // MQTT5 or MQTT311
	Topic        string
	ClientID     string // empty = made from the group
	User         string // empty = none
	PasswordFile string // path; empty = none
	Retain       bool
	InFlight     int
	Timeout      time.Duration
}

// The versions of MQTT, values of ForwardMQTT.Version.
const (
	MQTT5   = "5"
	MQTT311 = "3.1.1"
)

// The least and the most that is waited for others, values of FORWARD_HTTP_TIMEOUT and FORWARD_MQTT_TIMEOUT.
const (
	shortestAnswer = 100 * time.Millisecond
	longestAnswer  = 10 * time.Minute
)

// forwardSinkSettings are part of Settings.
var forwardSinkSettings = []Setting{
	{Name: "FORWARD_TLS_CA_FILE",
		Help: "PEM file with the CA of the certificate of FORWARD_TO=https: or mqtts: (default: the system's)",
		set:  func(c *Config, v string) error { c.Forward.TLS.CAFile = v; return nil }},
	{Name: "FORWARD_TLS_CERT_FILE", Help: "PEM file with the certificate that forward shows there",
		set: func(c *Config, v string) error { c.Forward.TLS.CertFile = v; return nil }},
	{Name: "FORWARD_TLS_KEY_FILE", SecretFile: true,
		Help: "PEM file with its key, without passphrase",
		set:  func(c *Config, v string) error { c.Forward.TLS.KeyFile = v; return nil }},
	{Name: "FORWARD_HTTP_GZIP", Default: "true", Bool: true, Help: "pack the batches that forward sends by HTTP",
		set: func(c *Config, v string) error { return parseBool(&c.Forward.HTTP.Gzip, v) }},
	{Name: "FORWARD_HTTP_TIMEOUT", Default: "30s", Help: "time for a whole request of forward and its answer",
		set: func(c *Config, v string) error {
			return parseDuration(&c.Forward.HTTP.Timeout, v, shortestAnswer, longestAnswer)
		}},
	{Name: "FORWARD_HTTP_KEY", Secret: true,
		Help: "key that forward signs its requests with, at least 16 characters; whsec_ and base64, or any text " +
			"(default none)",
		set: func(c *Config, v string) error { return parseAdminToken(&c.Forward.HTTP.Key, v) }},
	{Name: "FORWARD_HTTP_KEY_FILE", SecretFile: true,
		Help: "file with that key in its first line, read again for each request",
		set:  func(c *Config, v string) error { c.Forward.HTTP.KeyFile = v; return nil }},
	{Name: "FORWARD_HTTP_TOKEN", Secret: true, Help: "token of the header Authorization: Bearer (default none)",
		set: func(c *Config, v string) error { c.Forward.HTTP.Token = v; return nil }},
	{Name: "FORWARD_HTTP_TOKEN_FILE", SecretFile: true,
		Help: "file with that token in its first line, read again for each request",
		set:  func(c *Config, v string) error { c.Forward.HTTP.TokenFile = v; return nil }},
	{Name: "FORWARD_HTTP_HEADER", Secret: true, Help: "one more header, as Name: value (default none)",
		set: func(c *Config, v string) error { c.Forward.HTTP.Header = v; return nil }},
	{Name: "FORWARD_MQTT_VERSION", Default: MQTT5,
		Help: "5 or 3.1.1, with which a broker has no way to say that it refuses a record",
		set: func(c *Config, v string) error {
			c.Forward.MQTT.Version = v
			return oneOf(v, MQTT5, MQTT311)
		}},
	{Name: "FORWARD_MQTT_TOPIC", Default: "teltonika/{device_id}",
		Help: "topic of each record, with {device_id}, {codec} and {family} in it",
		set:  func(c *Config, v string) error { c.Forward.MQTT.Topic = v; return nil }},
	{Name: "FORWARD_MQTT_CLIENT_ID", Help: "client id (default tcp-ingestion- and the group)",
		set: func(c *Config, v string) error { return parseClientID(&c.Forward.MQTT.ClientID, v) }},
	{Name: "FORWARD_MQTT_USER", Help: "user at the broker (default none)",
		set: func(c *Config, v string) error { c.Forward.MQTT.User = v; return nil }},
	{Name: "FORWARD_MQTT_PASSWORD_FILE", SecretFile: true,
		Help: "file with the user's password in its first line, read again for each connection",
		set:  func(c *Config, v string) error { c.Forward.MQTT.PasswordFile = v; return nil }},
	{Name: "FORWARD_MQTT_RETAIN", Default: "false", Bool: true, Help: "have the broker keep the last record of each topic",
		set: func(c *Config, v string) error { return parseBool(&c.Forward.MQTT.Retain, v) }},
	{Name: "FORWARD_MQTT_IN_FLIGHT", Default: "100",
		Help: "records that may wait for the broker's acknowledgement at once, one of a device",
		set:  func(c *Config, v string) error { return parseInt(&c.Forward.MQTT.InFlight, v, 1, 10_000) }},
	{Name: "FORWARD_MQTT_TIMEOUT", Default: "30s", Help: "how long a broker may take to answer or to acknowledge anything",
		set: func(c *Config, v string) error {
			return parseDuration(&c.Forward.MQTT.Timeout, v, shortestAnswer, longestAnswer)
		}},
}

var clientID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func parseClientID(dst *string, v string) error {
	if v != "" && !clientID.MatchString(v) {
		return errors.New("use 1 to 128 letters, digits, dots, dashes and underscores")
	}
	*dst = v
	return nil
}

// secureSchemes are those of FORWARD_TO that have FORWARD_TLS_…
var secureSchemes = map[string]bool{"http": false, "https": true, "mqtt": false, "mqtts": true}

func (c *Config) forwardContradictions() (problems []Problem) {
	wrong := func(applies bool, setting, text string) {
		if applies {
			problems = append(problems, Problem{setting, text})
		}
	}
	f := &c.Forward
	secure, remote := secureSchemes[f.Scheme()]
	u, err := url.Parse(f.To)
	wrong(remote && err == nil && u.User != nil, "FORWARD_TO",
		"has a user in it; leave that out and set FORWARD_HTTP_TOKEN_FILE or FORWARD_HTTP_HEADER, or FORWARD_MQTT_USER and "+
			"FORWARD_MQTT_PASSWORD_FILE")
	wrong(strings.HasPrefix(f.Scheme(), "mqtt") && err == nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != ""),
		"FORWARD_TO", "has a path; use mqtts://host:8883, and set FORWARD_MQTT_TOPIC")
	for _, file := range []struct{ setting, path string }{
		{"FORWARD_TLS_CA_FILE", f.TLS.CAFile}, {"FORWARD_TLS_CERT_FILE", f.TLS.CertFile},
		{"FORWARD_TLS_KEY_FILE", f.TLS.KeyFile},
	} {
		wrong(file.path != "" && remote && !secure, file.setting,
			"has no effect: FORWARD_TO is not encrypted; let it begin with https: or mqtts:")
	}
	wrong(f.TLS.CertFile != "" && f.TLS.KeyFile == "", "FORWARD_TLS_KEY_FILE",
		"not set, but FORWARD_TLS_CERT_FILE is; set it to the path of the certificate's key")
	wrong(f.TLS.CertFile == "" && f.TLS.KeyFile != "", "FORWARD_TLS_CERT_FILE",
		"not set, but FORWARD_TLS_KEY_FILE is; set it to the path of the key's certificate")
	wrong(f.MQTT.User == "" && f.MQTT.PasswordFile != "", "FORWARD_MQTT_USER",
		"not set, but FORWARD_MQTT_PASSWORD_FILE is; set it to the user's name")
	return problems
}
