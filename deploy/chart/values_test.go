package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// TestRefused: values that are wrong together, or alone, are refused, and the message says what to do.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"two pods on the embedded engine", "replicas: 2", "replicas is 2, but the embedded engine"},
		{"the embedded engine scaled", "autoscaling: {enabled: true}", "choose another engine"},
		{"redis without its URL", "engine: redis", "set secretSettings.REDIS_URL.secret"},
		{"jetstream without its URL", "engine: jetstream", "set secretSettings.NATS_URL.secret"},
		{"postgres without its URL", "engine: postgres", "set secretSettings.POSTGRES_URL.secret"},
		{"kafka without brokers", "engine: kafka", "needs settings.KAFKA_BROKERS"},
		{"an engine that is none", "engine: oracle", "engine"},
		{"a secret in plain", "settings: {REDIS_URL: 'redis://:password@redis'}", "REDIS_URL"},
		{"a secret as extra environment", "extraEnv: [{name: REDIS_URL, value: x}]", "extraEnv"},
		{"the chart's setting", "settings: {INSTANCE_ID: x}", "INSTANCE_ID"},
		{"a misspelt setting", "settings: {LOG_LEVLE: debug}", "LOG_LEVLE"},
		{"a setting of forward", "settings: {FORWARD_GROUP: x}", "FORWARD_GROUP"},
		{"twice", "settings: {DEVICE_MODELS: redis}\nfiles: {DEVICE_MODELS: {configMap: a, key: b}}", "set twice"},
		{"two places for a secret", "secretSettings: {REDIS_URL: {secret: a}}\n" +
			"files: {REDIS_URL_FILE: {secret: a, key: b}}", "leave one of them out"},
		{"a file of both", "files: {NATS_CREDS: {secret: a, configMap: b, key: c}}", "oneOf"},
		{"a file without its key", "files: {NATS_CREDS: {secret: a}}", "key"},
		{"a key that leads elsewhere", "files: {NATS_CREDS: {secret: a, key: ../b}}", "key"},
		{"no way in", "devices: {tcp: {enabled: false}}", "no device can come in"},
		{"one port twice", "devices: {tls: {enabled: true, port: 5027}}\ntls: {secret: x}", "are the same"},
		{"TLS without a certificate", "devices: {tls: {enabled: true}}", "needs tls.secret"},
		{"detection without a certificate", "settings: {TLS_DETECT: true}", "needs tls.secret"},
		{"a certificate without TLS", "tls: {secret: x}", "tls.secret has no effect"},
		{"the API without a token", "admin: {enabled: true}", "set secretSettings.ADMIN_TOKEN.secret"},
		{"a list that is not looked at", "settings: {DEVICE_AUTHORITY_MODE: allow_all}\n" +
			"files: {DEVICE_ALLOW_LIST: {configMap: a, key: b}}", "has no effect with"},
		{"keda without Prometheus", "engine: redis\nsecretSettings: {REDIS_URL: {secret: a}}\n" +
			"autoscaling: {enabled: true, by: keda}", "needs autoscaling.prometheusAddress"},
		{"most below least", "engine: redis\nsecretSettings: {REDIS_URL: {secret: a}}\n" +
			"autoscaling: {enabled: true, maxReplicas: 1}", "minReplicas is above"},
		{"a drain beyond the stop", "stop: {drainTimeoutSeconds: 60}", "drainTimeoutSeconds is above"},
		{"what nobody knows", "replica: 2", "replica"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, "template", chartPath, "--values", valuesFile(t, c.values))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestEveryEngine: the chart takes the engines that the program has, and is tried with each.
func TestEveryEngine(t *testing.T) {
	document, err := readJSON("tcp-ingestion/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	enum := document.(map[string]any)["properties"].(map[string]any)["engine"].(map[string]any)["enum"]
	var engines []string
	for _, name := range enum.([]any) {
		engines = append(engines, name.(string))
		c := settings(t, template(t, chartPath, "--values", fmt.Sprintf("testdata/values/%s.yaml", name)))
		if c.Engine != name {
			t.Errorf("%s.yaml is for the engine %s", name, c.Engine)
		}
	}
	slices.Sort(engines)
	if want := slices.Sorted(slices.Values(config.Engines)); !slices.Equal(engines, want) {
		t.Errorf("the chart has the engines %v, the program %v", engines, want)
	}
}

// open are values that Kubernetes says more of than the chart: what is in them is for TestSchemas.
var open = []string{"resources", "affinity", "global"}

// values are those of values.yaml.
func values(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("tcp-ingestion/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSchemaOfValues: values.schema.json has what values.yaml has. It refuses a name that is not there, at any depth,
// and a value of another kind.
func TestSchemaOfValues(t *testing.T) {
	document, err := readJSON("tcp-ingestion/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("file:///values", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("file:///values")
	if err != nil {
		t.Fatal(err)
	}
	all := values(t)
	valid := func() bool { return schema.Validate(asJSON(t, all)) == nil }
	if !valid() {
		t.Fatal(schema.Validate(asJSON(t, all)))
	}
	mutate(t, "", all, valid)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		if _, there := all[name]; !there && name != "global" { // which Helm gives to the charts of a chart
			t.Errorf("values.yaml does not have %s", name)
		}
	}
}

// mutate changes one value after the other, and wants each change to be refused.
func mutate(t *testing.T, at string, object map[string]any, valid func() bool) {
	refused := func(name string, value any) {
		was, there := object[name]
		if object[name] = value; valid() {
			t.Errorf("%s%s may be %v", at, name, value)
		}
		if object[name] = was; !there {
			delete(object, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		inner, isObject := object[name].(map[string]any)
		refused(name, []any{nil})
		if isObject && !slices.Contains(open, name) {
			mutate(t, at+name+".", inner, valid)
		}
		if !isObject {
			refused(name, map[string]any{"a": "b"})
		}
	}
	refused("unheardOf", 1)
}

// asJSON is a value as a schema looks at it.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	return document
}
