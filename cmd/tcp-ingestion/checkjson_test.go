package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// checkJSON is what check --json prints, held to its schema.
func checkJSON(t *testing.T, settings map[string]string, args ...string) (r checkResult, errOut string) {
	t.Helper()
	code, out, errOut := execute(t, settings, "", append([]string{"check", "--json"}, args...)...)
	apitest.Strict().Check(t, "check.schema.json", []byte(out))
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.ExitCode != code || r.OK != (code == 0) {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, errOut)
	}
	return r, errOut
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	apitest.Strict().CheckType(t, "check.schema.json#", reflect.TypeFor[checkResult]())
	token := writeFile(t, "token", "hunter2hunter2hunter2")
	if err := os.Chmod(token, 0o604); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, _ := checkJSON(t, map[string]string{"DATA_DIR": dir, "ADMIN_TOKEN_FILE": token})
	want := []checkFinding{{"warning", "ADMIN_TOKEN_FILE", "environment", "everybody may read " + token, "chmod o-r"}}
	if !r.OK || r.Engine != "embedded" || r.Durability != "fsync" || !reflect.DeepEqual(r.Findings, want) {
		t.Errorf("%+v", r)
	}

	file := writeFile(t, "settings.yaml", "UDP_PORT: x\nREDIS_ULR: y\nDATA_DIR: "+dir)
	r, errOut := checkJSON(t, map[string]string{"TLS_CERT_FILE": "/c", "ADMIN_TOKEN": "hunter2"}, "--config", file)
	want = []checkFinding{
		{"error", "REDIS_ULR", file + ":2", "is no setting (did you mean REDIS_URL?)", "config example prints them all"},
		{"error", "UDP_PORT", file + ":1", `"x" cannot be used`, "use a whole number from 0 to 65535, or off"},
		{"error", "ADMIN_TOKEN", "environment", "the value cannot be used", "use at least 16 random characters of visible " +
			"ASCII, such as those of: openssl rand -hex 32"},
		{"error", "TLS_CERT_FILE", "environment", "has no effect",
			"set TLS_PORT, or TLS_DETECT=true for TLS on TELTONIKA_PORT"},
	}
	if r.ExitCode != exitSettings || !reflect.DeepEqual(r.Findings, want) || !strings.Contains(errOut, "REDIS_ULR") {
		t.Errorf("%+v\n%s", r, errOut)
	}

	r, _ = checkJSON(t, map[string]string{"DATA_DIR": dir, "COMMAND_POLICY": "/none"})
	if f := r.Findings; r.ExitCode != exitSettings || len(f) != 1 || f[0].Setting != "COMMAND_POLICY" ||
		f[0].From != "environment" || f[0].Remedy == "" {
		t.Errorf("%+v", r)
	}
	r, _ = checkJSON(t, map[string]string{"REDIS_URL": "redis://u:hunter2@127.0.0.1:1"})
	if r.ExitCode != exitFailure || r.Engine != "redis" || len(r.Findings) != 1 || r.Findings[0].Severity != "error" {
		t.Errorf("%+v", r)
	}
}

// TestGoodSecretsAreNeverShown: nothing is said of the secrets in force, while some of what they lead to is not there.
func TestGoodSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	settings := "DATA_DIR: " + t.TempDir() + "\nKAFKA_SASL_MECHANISM: PLAIN\nKAFKA_SASL_USERNAME: u\n"
	for name, value := range map[string]string{
		"REDIS_URL": "redis://u:hunter2@127.0.0.1:1", "CONTROL_REDIS_URL": "redis://u:hunter2@127.0.0.1:1",
		"NATS_URL": "nats://u:hunter2@127.0.0.1:1", "POSTGRES_URL": "postgres://u:hunter2@127.0.0.1:1/d",
		"KAFKA_SASL_PASSWORD": "hunter2", "ADMIN_TOKEN": "hunter2hunter2hunter2", "FORWARD_TO": "https://127.0.0.1:1/hunter2",
		"FORWARD_HTTP_KEY": "hunter2hunter2hunter2", "FORWARD_HTTP_TOKEN": "hunter2", "FORWARD_HTTP_HEADER": "X: hunter2",
	} {
		settings += name + "_FILE: " + writeFile(t, "secret", value) + "\n"
	}
	file := writeFile(t, "settings.yaml", settings)
	for args, want := range map[string]int{
		"config show": 0, "check --engine embedded": 1, "check --json": 1, "check --engine postgres": 1,
	} {
		code, out, errOut := runHere(t, "", append(strings.Fields(args), "--config", file)...)
		if strings.Contains(out+errOut, "hunter2") || code != want {
			t.Errorf("%s: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
	}
}

// TestWrongSecretsAreNeverShown: whatever looks at the settings says nothing of a secret, in its place or in a file of
// its own.
func TestWrongSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"hunter2hunter2hunter2", "redis://u:hunter2hunter2@127.0.0.1:1", "hunter2\x01"} {
		var inPlace, inFiles strings.Builder
		for i := range config.Settings {
			if s := &config.Settings[i]; s.Secret {
				inPlace.WriteString(s.Name + ": " + strings.ReplaceAll(value, "\x01", "") + "\n")
				inFiles.WriteString(s.File() + ": " + writeFile(t, "secret", value) + "\n")
			}
		}
		for _, text := range []string{inPlace.String(), inFiles.String()} {
			file := writeFile(t, "settings.yaml", text+"ENGINE: embedded\nDATA_DIR: "+t.TempDir())
			for _, args := range [][]string{
				{"check"}, {"check", "--json"}, {"config", "show"}, {"check", "--admin-token", value, "--redis-url=" + value},
			} {
				code, out, errOut := runHere(t, "", append(args, "--config", file)...)
				if strings.Contains(out+errOut, "hunter2") || code == 0 {
					t.Errorf("%v: exit code %d: %s%s", args, code, out, errOut)
				}
			}
		}
	}
}
