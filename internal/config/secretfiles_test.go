package config

import (
	"fmt"
	"strings"
	"testing"
)

// goodSecrets are values that each secret takes.
var goodSecrets = map[string]string{
	"REDIS_URL": "redis://u:hunter2@h:6379", "CONTROL_REDIS_URL": "redis://u:hunter2@c:6379",
	"NATS_URL": "nats://u:hunter2@h:4222", "KAFKA_SASL_PASSWORD": "hunter2", "POSTGRES_URL": "postgres://u:hunter2@h/db",
	"ADMIN_TOKEN": "hunter2hunter2hunter2", "FORWARD_TO": "https://h/hunter2",
	"FORWARD_HTTP_KEY": "hunter2hunter2hunter2", "FORWARD_HTTP_TOKEN": "hunter2", "FORWARD_HTTP_HEADER": "X: hunter2",
}

// TestSecretsFromFiles: each secret is in force as if it stood in its setting.
func TestSecretsFromFiles(t *testing.T) {
	for i := range Settings {
		s := &Settings[i]
		if !s.Secret || s.readAgain {
			continue
		}
		value := goodSecrets[s.Name]
		if value == "" {
			t.Errorf("%s has no value to try", s.Name)
		}
		path := write(t, "secret", 0o600, value+"\r\n")
		also := map[string]string{"KAFKA_SASL_PASSWORD": "KAFKA_SASL_MECHANISM: PLAIN\nKAFKA_SASL_USERNAME: u\n"}[s.Name]
		v := Gather(parseFile("f", []byte(s.Name+"_FILE: "+path+"\n"+also+"INSTANCE_ID: a")), nil)
		got, err := v.Load()
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		want, err := Gather(parseFile("f", []byte(s.Name+": '"+value+"'\n"+also+"INSTANCE_ID: a")), nil).Load()
		if err != nil || *got != *want || len(v.Warnings) != 0 {
			t.Errorf("%s: %v, %v", s.Name, err, v.Warnings)
		}
	}
}

// TestWrongSecretFiles: what is wrong with a file is told under its setting, and without what is in it.
func TestWrongSecretFiles(t *testing.T) {
	dir, path := t.TempDir(), ""
	for _, c := range []struct{ text, want string }{
		{"", "%s has nothing in its first line"}, {"\nhunter2", "%s has nothing in its first line"},
		{"hun\x00ter2", "%s has a NUL in its first line, and is no text"},
		{strings.Repeat("hunter2 ", 10_000), "%s has more than 65536 bytes"},
		{dir, "%s is not a regular file"}, {dir + "/none", "stat %s: no such file or directory"},
	} {
		if path = c.text; !strings.HasPrefix(path, dir) {
			path = write(t, "secret", 0o600, c.text)
		}
		_, err := Gather(parseFile("f", []byte("ENGINE: redis\nREDIS_URL_FILE: "+path)), nil).Load()
		want := "invalid settings:\n  REDIS_URL_FILE (f:2): " + fmt.Sprintf(c.want, path) +
			"; set it to the path of a file that this user may read"
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	path = write(t, "secret", 0o600, "hunter2://h")
	_, err := Gather(parseFile("f", []byte("REDIS_URL_FILE: "+path)), nil).Load()
	if want := "invalid settings:\n  REDIS_URL (REDIS_URL_FILE): use the scheme redis://, redis+sentinel:// or " +
		"redis+cluster://, for TLS one with rediss"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestFilesThatEverybodyMayRead: whoever starts the service is warned of each.
func TestFilesThatEverybodyMayRead(t *testing.T) {
	token, password := write(t, "token", 0o644, "0123456789abcdef"), write(t, "password", 0o640, "redis://u:hunter2@h")
	again := write(t, "again", 0o604, "0123456789abcdef")
	file := write(t, "settings.yaml", 0o644, "ADMIN_TOKEN_FILE: "+token+"\nREDIS_URL_FILE: "+password+
		"\nFORWARD_HTTP_TOKEN_FILE: "+again+"\nNATS_CREDS: "+token+"\nFORWARD_HTTP_HEADER: 'X: hunter2'\n")
	v := Gather(ReadFile(file), nil)
	want := fmt.Sprintf("[%s: holds FORWARD_HTTP_HEADER, and everybody may read it; chmod o-r "+
		"NATS_CREDS: everybody may read %s; chmod o-r "+
		"ADMIN_TOKEN_FILE: everybody may read %s; chmod o-r FORWARD_HTTP_TOKEN_FILE: everybody may read %s; chmod o-r]",
		file, token, token, again)
	if _, err := v.Load(); err != nil || fmt.Sprint(v.Warnings) != want {
		t.Errorf("%v\n got %v\nwant %v", err, v.Warnings, want)
	}
}
