package chart

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

var update = flag.Bool("update", false, "write the definitions of settings in values.schema.json anew")

// ofTheChart are the settings that templates/_settings.tpl makes of other values.
var ofTheChart = []string{
	"INSTANCE_ID", "ENGINE", "DATA_DIR", "TELTONIKA_PORT", "TLS_PORT", "UDP_PORT", "METRICS_PORT", "ADMIN_ADDRESS",
	"TLS_CERT_FILE", "TLS_KEY_FILE", "DRAIN_DELAY", "CLOSE_SPREAD", "DRAIN_TIMEOUT_MS", "SHUTDOWN_TIMEOUT_MS",
}

// isFile are the settings that name a file and do not say so by _FILE. The two that may name something in Redis instead
// are plain settings as well.
var isFile = map[string]struct{ orInRedis bool }{
	"NATS_CREDS": {}, "COMMAND_POLICY": {}, "DICTIONARY_OVERRIDES": {},
	"DEVICE_ALLOW_LIST": {orInRedis: true}, "DEVICE_MODELS": {orInRedis: true},
}

// settingsOf are those that a user of the chart gives: plain ones, secrets and files.
func settingsOf() (plain, secret, file []config.Setting) {
	for _, s := range config.Settings {
		named, special := isFile[s.Name]
		switch {
		case slices.Contains(ofTheChart, s.Name), strings.HasPrefix(s.Name, "FORWARD_"): // forward is another program
		case s.Secret:
			secret = append(secret, s)
		case strings.HasSuffix(s.Name, "_FILE") || special:
			file = append(file, s)
			if named.orInRedis {
				plain = append(plain, s)
			}
		default:
			plain = append(plain, s)
		}
	}
	return plain, secret, file
}

// member is a property of an object in a schema.
type member map[string]any

func objectOf(settings []config.Setting, of func(config.Setting) member) member {
	properties := member{}
	for _, s := range settings {
		m := of(s)
		m["description"] = s.Help
		properties[s.Name] = m
	}
	return member{"type": "object", "additionalProperties": false, "properties": properties}
}

func plainValue(s config.Setting) member {
	if s.Bool {
		return member{"enum": []any{true, false, "true", "false"}}
	}
	return member{"type": []string{"string", "integer", "boolean"}}
}

// reference is allOf, since older drafts of JSON Schema ignore what stands beside $ref.
func reference(name string) func(config.Setting) member {
	return func(config.Setting) member { return member{"allOf": []member{{"$ref": "#/definitions/" + name}}} }
}

// TestDocsSchema: values.schema.json knows the settings that the service has, each with its meaning, at the place where
// it belongs: no secret among the plain ones.
func TestDocsSchema(t *testing.T) {
	const path = "tcp-ingestion/values.schema.json"
	var schema struct {
		Schema               string                     `json:"$schema"`
		Title                string                     `json:"title"`
		Type                 string                     `json:"type"`
		AdditionalProperties bool                       `json:"additionalProperties"`
		Properties           json.RawMessage            `json:"properties"`
		Definitions          map[string]json.RawMessage `json:"definitions"`
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(is, &schema); err != nil {
		t.Fatal(err)
	}
	plain, secret, file := settingsOf()
	var names []string
	for _, s := range config.Settings {
		names = append(names, s.Name)
	}
	for name, definition := range map[string]member{
		"settings": objectOf(plain, plainValue), "secretSettings": objectOf(secret, reference("fromSecret")),
		"files": objectOf(file, reference("file")), "settingName": {"enum": names},
	} {
		schema.Definitions[name], err = json.Marshal(definition)
		if err != nil {
			t.Fatal(err)
		}
	}
	var should bytes.Buffer
	enc := json.NewEncoder(&should)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(is, should.Bytes()) {
		return
	}
	if !*update {
		t.Fatalf("%s does not have the service's settings: run `make docs`", path)
	}
	if err := os.WriteFile(path, should.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
