package chart

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are those of testdata/schemas: of the oldest Kubernetes that Chart.yaml allows and of the newest, and of the
// operators' objects. A field that they do not have is wrong.
type schemas struct {
	compiler *jsonschema.Compiler
	apis     []string // files of Kubernetes' own
}

const operatorsFile = "operators.json"

func loadSchemas(t *testing.T) *schemas {
	t.Helper()
	s := &schemas{compiler: jsonschema.NewCompiler(), apis: []string{"kubernetes-1.28.json", "kubernetes-1.37.json"}}
	for _, name := range append([]string{operatorsFile}, s.apis...) {
		document, err := readJSON("testdata/schemas/" + name)
		if err == nil {
			err = s.compiler.AddResource("file:///"+name, document)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func readJSON(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// of are the schemas for an object: one of each version of Kubernetes, or the operator's.
func (s *schemas) of(o *object) (all []*jsonschema.Schema, err error) {
	group, version, found := strings.Cut(o.APIVersion, "/")
	if !found {
		group, version = "core", o.APIVersion
	}
	files, group := s.apis, strings.TrimSuffix(group, ".k8s.io")
	name := fmt.Sprintf("io.k8s.api.%s.%s.%s", group, version, o.Kind)
	if strings.Contains(group, ".") {
		files, name = []string{operatorsFile}, fmt.Sprintf("%s.%s.%s", group, version, o.Kind)
	}
	for _, file := range files {
		schema, err := s.compiler.Compile("file:///" + file + "#/$defs/" + name)
		if err != nil {
			return nil, err
		}
		all = append(all, schema)
	}
	return all, nil
}

// check says what Kubernetes would not take.
func (s *schemas) check(o *object) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.json))
	if err != nil {
		return err
	}
	all, err := s.of(o)
	if err != nil {
		return err
	}
	for _, schema := range all {
		if err := schema.Validate(document); err != nil {
			return fmt.Errorf("%s %s: %w", o.Kind, o.Metadata.Name, err)
		}
	}
	return nil
}

// TestSchemas: Kubernetes takes every object, by its schemas, and none of them is a ConfigMap or a Secret.
func TestSchemas(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rendering) {
		s := loadSchemas(t)
		names := map[string]bool{}
		for _, o := range r.objects {
			if err := s.check(o); err != nil {
				t.Error(err)
			}
			if names[o.Kind+o.Metadata.Name] {
				t.Errorf("two objects are called %s %s", o.Kind, o.Metadata.Name)
			}
			names[o.Kind+o.Metadata.Name] = true
		}
	})
}

// TestSchemasRefuse: the schemas say so of what is wrong, at any depth.
func TestSchemasRefuse(t *testing.T) {
	r := template(t, chartPath, "--values", "testdata/values/everything.yaml")
	s := loadSchemas(t)
	for _, c := range []struct{ kind, from, to string }{
		{"Deployment", `"revisionHistoryLimit"`, `"revisionHistory"`},
		{"Deployment", `"containerPort":5028`, `"containerPort":"5028"`},
		{"Deployment", `"httpGet"`, `"httpget"`},
		{"Deployment", `"terminationGracePeriodSeconds":220`, `"terminationGracePeriodSeconds":null`},
		{"Deployment", `"apps/v1"`, `"apps/v1beta1"`},
		{"Service", `"clusterIP":"None"`, `"clusterIP":true`},
		{"NetworkPolicy", `"namespaceSelector"`, `"namespaceselector"`},
		{"HorizontalPodAutoscaler", `"averageValue"`, `"average"`},
		{"PodMonitor", `"relabelings"`, `"relabeling"`},
		{"PrometheusRule", `"alert"`, `"alarm"`},
	} {
		o := *r.of(c.kind)[len(r.of(c.kind))-1]
		if c.kind == "Service" {
			o = *r.of(c.kind)[2]
		}
		changed := strings.Replace(string(o.json), c.from, c.to, 1)
		if changed == string(o.json) {
			t.Fatalf("%s has no %s", c.kind, c.from)
		}
		o.json = []byte(changed)
		if c.from == `"apps/v1"` {
			o.APIVersion = "apps/v1beta1"
		}
		if err := s.check(&o); err == nil {
			t.Errorf("%s with %s passes", c.kind, c.to)
		}
	}
}
