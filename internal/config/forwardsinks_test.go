package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestForwardSinkSettings(t *testing.T) {
	c, err := Load(from(map[string]string{
		"FORWARD_TO": "mqtts://host", "FORWARD_TLS_CA_FILE": "/ca", "FORWARD_MQTT_VERSION": "3.1.1",
		"FORWARD_MQTT_RETAIN": "true", "FORWARD_MQTT_USER": "me", "FORWARD_MQTT_PASSWORD_FILE": "/password",
	}))
	if err != nil {
		t.Fatal(err)
	}
	m := ForwardMQTT{Version: MQTT311, Topic: "teltonika/{device_id}", User: "me", PasswordFile: "/password", Retain: true,
		InFlight: 100, Timeout: 30 * time.Second}
	if c.Forward.MQTT != m || c.Forward.TLS.CAFile != "/ca" {
		t.Errorf("%+v", c.Forward)
	}
	if h := (ForwardHTTP{Gzip: true, Timeout: 30 * time.Second}); c.Forward.HTTP != h {
		t.Errorf("%+v", c.Forward.HTTP)
	}
}

// TestWrongForwardSinkSettings names all at once, and shows nothing secret.
func TestWrongForwardSinkSettings(t *testing.T) {
	for _, wrong := range []map[string]string{
		{
			"FORWARD_HTTP_GZIP": "x", "FORWARD_HTTP_TIMEOUT": "1ms", "FORWARD_HTTP_KEY": "hunter2",
			"FORWARD_MQTT_VERSION": "4", "FORWARD_MQTT_RETAIN": "x", "FORWARD_MQTT_IN_FLIGHT": "0",
			"FORWARD_MQTT_TIMEOUT": "11m", "FORWARD_MQTT_CLIENT_ID": "a b",
		},
		{"FORWARD_TO": "https://hunter2@host/path"},
		{"FORWARD_TO": "mqtt://host:1883/hunter2"},
	} {
		expectWrong(t, wrong, slices.Collect(maps.Keys(wrong))...)
	}
	key := strings.Repeat("hunter2", 3)
	expectWrong(t, map[string]string{
		"FORWARD_TO": "mqtt://host", "FORWARD_TLS_CA_FILE": "/ca", "FORWARD_TLS_CERT_FILE": "/cert",
		"FORWARD_HTTP_KEY": key, "FORWARD_HTTP_KEY_FILE": "/key",
		"FORWARD_HTTP_TOKEN": key, "FORWARD_HTTP_TOKEN_FILE": "/token", "FORWARD_MQTT_PASSWORD_FILE": "/password",
	}, "FORWARD_TLS_CA_FILE", "FORWARD_TLS_CERT_FILE", "FORWARD_TLS_KEY_FILE", "FORWARD_HTTP_KEY", "FORWARD_HTTP_TOKEN",
		"FORWARD_MQTT_USER")
	expectWrong(t, map[string]string{"FORWARD_TLS_KEY_FILE": "/key"}, "FORWARD_TLS_CERT_FILE")
}

func expectWrong(t *testing.T, values map[string]string, settings ...string) {
	t.Helper()
	_, err := Load(from(values))
	var wrong *Error
	if !errors.As(err, &wrong) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v: %v", values, err)
		return
	}
	var named []string
	for _, p := range wrong.Problems {
		named = append(named, p.Setting)
	}
	slices.Sort(named)
	slices.Sort(settings)
	if !slices.Equal(named, settings) {
		t.Errorf("%v are wrong, want %v", named, settings)
	}
}
