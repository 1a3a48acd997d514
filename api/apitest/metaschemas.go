package apitest

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// metaSchemas are the schemas of OpenAPI and AsyncAPI documents, as their projects publish them (Apache-2.0).
//
//go:embed testdata/*.gz
var metaSchemas embed.FS

// MetaSchemas are files of metaSchemas, by the document that each is for.
var MetaSchemas = map[string]string{
	"openapi.json":  "openapi-3.1.schema.json.gz",
	"asyncapi.json": "asyncapi-3.0.0.schema.json.gz",
}

// CheckMeta fails the test if a document is none of its kind.
func (d *Documents) CheckMeta(t testing.TB, name string) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	url := "https://json-schema.org/draft/2020-12/schema"
	if file := MetaSchemas[name]; file != "" {
		url = "https://meta.invalid/" + file
		if err := compiler.AddResource(url, readMeta(t, file)); err != nil {
			t.Fatal(err)
		}
	}
	meta, err := compiler.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Validate(d.all[name]); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func readMeta(t testing.TB, file string) any {
	t.Helper()
	packed, err := metaSchemas.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(unpacked)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", file, err))
	}
	return schema
}
