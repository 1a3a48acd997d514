package main

import (
	"cmp"
	"errors"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward/httpsink"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward/mqttsink"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

// sinkTLSSettings are those of every sink that speaks TLS.
var sinkTLSSettings = []string{"FORWARD_TLS_CA_FILE", "FORWARD_TLS_CERT_FILE", "FORWARD_TLS_KEY_FILE"}

var httpSinkSettings = []string{
	"FORWARD_HTTP_GZIP", "FORWARD_HTTP_TIMEOUT", "FORWARD_HTTP_KEY", "FORWARD_HTTP_KEY_FILE", "FORWARD_HTTP_TOKEN",
	"FORWARD_HTTP_TOKEN_FILE", "FORWARD_HTTP_HEADER",
}

var mqttSinkSettings = []string{
	"FORWARD_MQTT_VERSION", "FORWARD_MQTT_TOPIC", "FORWARD_MQTT_CLIENT_ID", "FORWARD_MQTT_USER",
	"FORWARD_MQTT_PASSWORD_FILE", "FORWARD_MQTT_RETAIN", "FORWARD_MQTT_IN_FLIGHT", "FORWARD_MQTT_TIMEOUT",
}

func openHTTPSink(o *sinkOptions) (forward.Sink, error) {
	f := &o.config.Forward
	s, err := httpsink.New(httpsink.Options{
		URL: f.To, Gzip: f.HTTP.Gzip, Timeout: f.HTTP.Timeout, Header: f.HTTP.Header,
		Key:   secret.Text{Value: f.HTTP.Key, File: f.HTTP.KeyFile},
		Token: secret.Text{Value: f.HTTP.Token, File: f.HTTP.TokenFile}, TLS: sinkTLS(f),
	}, o.refuse)
	return s, invalidOptions(err, map[string]string{
		"URL": "FORWARD_TO", "Header": "FORWARD_HTTP_HEADER", "TLS": sinkTLSSetting(f),
		"Key":   oneSet(f.HTTP.KeyFile, "FORWARD_HTTP_KEY_FILE", "FORWARD_HTTP_KEY"),
		"Token": oneSet(f.HTTP.TokenFile, "FORWARD_HTTP_TOKEN_FILE", "FORWARD_HTTP_TOKEN"),
	})
}

func openMQTTSink(o *sinkOptions) (forward.Sink, error) {
	f := &o.config.Forward
	version := byte(mqttsink.Version5)
	if f.MQTT.Version == config.MQTT311 {
		version = mqttsink.Version311
	}
	s, err := mqttsink.New(mqttsink.Options{
		URL: f.To, Version: version, Topic: f.MQTT.Topic, ClientID: cmp.Or(f.MQTT.ClientID, "tcp-ingestion-"+f.Group),
		User: f.MQTT.User, Password: secret.Text{File: f.MQTT.PasswordFile}, Retain: f.MQTT.Retain,
		InFlight: f.MQTT.InFlight, Timeout: f.MQTT.Timeout, TLS: sinkTLS(f),
	}, o.refuse)
	return s, invalidOptions(err, map[string]string{
		"URL": "FORWARD_TO", "Topic": "FORWARD_MQTT_TOPIC", "Password": "FORWARD_MQTT_PASSWORD_FILE",
		"TLS": sinkTLSSetting(f),
	})
}

func sinkTLS(f *config.Forward) tlsclient.Files {
	return tlsclient.Files{CA: f.TLS.CAFile, Cert: f.TLS.CertFile, Key: f.TLS.KeyFile}
}

// sinkTLSSetting is the one to name when a file is wrong.
func sinkTLSSetting(f *config.Forward) string {
	if _, err := (tlsclient.Files{CA: f.TLS.CAFile}).Config(); err != nil {
		return "FORWARD_TLS_CA_FILE"
	}
	return "FORWARD_TLS_CERT_FILE"
}

// oneSet is the first setting if its value is not empty, else the second.
func oneSet(value, first, second string) string {
	if value != "" {
		return first
	}
	return second
}

// invalidOptions names the setting of each of a sink's options that is wrong.
func invalidOptions(err error, settings map[string]string) error {
	joined, several := err.(interface{ Unwrap() []error })
	if !several {
		return err
	}
	var wrong []error
	for _, one := range joined.Unwrap() {
		var option *forward.OptionError
		if errors.As(one, &option) {
			one = invalid(settings[option.Option], errors.New(fileProblem(option.Err, "a file")))
		}
		wrong = append(wrong, one)
	}
	return allInvalid(wrong...)
}
