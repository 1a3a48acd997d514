package config

import (
	"errors"
	"strings"
	"testing"
)

func TestForwardSettings(t *testing.T) {
	c, err := Load(from(map[string]string{
		"FORWARD_TO": "file:/var/lib/records", "FORWARD_GROUP": "billing_2", "FORWARD_DEVICES": " 356307* ,352093081452251,",
		"FORWARD_FAMILIES": "FMB, FMC", "FORWARD_BATCH_WAIT": "0s", "DATA_DIR": "/data",
	}))
	if err != nil {
		t.Fatal(err)
	}
	f := &c.Forward
	if f.Devices != "356307*,352093081452251" || f.Families != "FMB,FMC" || f.Signals != "" || f.Scheme() != "file" {
		t.Errorf("%+v", f)
	}
	if path := c.ForwardRefusedFile(); path != "/data/consumers/billing_2/refused.jsonl" {
		t.Errorf("refused records go to %s", path)
	}
	f.RefusedFile = "/elsewhere"
	if path := c.ForwardRefusedFile(); path != "/elsewhere" {
		t.Errorf("refused records go to %s", path)
	}
}

// TestWrongForwardSettings names each, and shows no password.
func TestWrongForwardSettings(t *testing.T) {
	for setting, values := range map[string][]string{
		"FORWARD_TO":            {"somewhere", "file:", "http://", "https://u:hunter2@h:port", "mqtt:host"},
		"FORWARD_GROUP":         {"a b", "a.b", "../x", strings.Repeat("g", 65)},
		"FORWARD_DEVICES":       {"3563 07", "35*07", "356307**", strings.Repeat("a", 65), strings.Repeat("3*,", 1001)},
		"FORWARD_BATCH_RECORDS": {"0", "10001"}, "FORWARD_BATCH_BYTES": {"0", "1MiB"}, "FORWARD_BATCH_WAIT": {"1", "2m"},
		"FORWARD_FILE_BYTES": {"0"}, "FORWARD_FILE_AGE": {"1ms"},
	} {
		for _, value := range values {
			_, err := Load(from(map[string]string{setting: value}))
			var wrong *Error
			if !errors.As(err, &wrong) || len(wrong.Problems) != 1 || wrong.Problems[0].Setting != setting {
				t.Errorf("%s=%s: %v", setting, value, err)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password is shown: %v", err)
			}
		}
	}
}
