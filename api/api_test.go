package api_test

import (
	"io/fs"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api"
	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
)

func documents(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(api.Documents, "*.json")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	return names
}

// TestDocumentsAreOfTheirKind holds each to the schema of JSON Schemas, OpenAPI or AsyncAPI documents.
func TestDocumentsAreOfTheirKind(t *testing.T) {
	for _, name := range documents(t) {
		apitest.AsPublished().CheckMeta(t, name)
	}
}

// TestExamples: every example in the documents is one of the schema that it stands in.
func TestExamples(t *testing.T) {
	for _, name := range documents(t) {
		if apitest.Strict().CheckExamples(t, name) == 0 {
			t.Errorf("%s has no example", name)
		}
	}
}

// TestReferences: every $ref leads somewhere, and every schema of the OpenAPI document is used.
func TestReferences(t *testing.T) {
	d := apitest.AsPublished()
	used := map[string]bool{}
	for _, name := range documents(t) {
		d.EachRef(name, func(to string) {
			used[to] = true
			if d.At(to) == nil {
				t.Errorf("%s refers to %s, which is not there", name, to)
			}
		})
	}
	for _, kind := range []string{"schemas", "responses", "parameters"} {
		for name := range d.At("openapi.json#/components/" + kind).(map[string]any) {
			if to := "openapi.json#/components/" + kind + "/" + name; !used[to] {
				t.Errorf("%s is not used", to)
			}
		}
	}
}

// TestRecordIsOne: the OpenAPI document is whole in itself, so it has the record's schema once more.
func TestRecordIsOne(t *testing.T) {
	d := apitest.AsPublished()
	copied := d.At("openapi.json#/components/schemas/Record").(map[string]any)
	for key, want := range d.Document("record.schema.json") {
		if strings.HasPrefix(key, "$") {
			continue
		}
		if got := copied[key]; !apitest.Equal(got, want) {
			t.Errorf("%s of Record in openapi.json is not as in record.schema.json", key)
		}
	}
}
