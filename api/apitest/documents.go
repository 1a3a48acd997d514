// Package apitest holds what the service shows to the documents of package api. It reads them more strictly than other
// programs have to: a member that a schema does not name is an error here, as is a word that is not among those of
// x-extensible-enum, so that nothing is added to the service without being added to its documents.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"git.dev.trmtracking.org/trm/tcp-ingestion/api"
)

// base is where the schemas say that they are.
const base = "https://git.dev.trmtracking.org/trm/tcp-ingestion/api/"

// Documents are those of package api.
type Documents struct {
	all    map[string]any // by file name
	strict bool

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// Strict are the documents as the service is held to them.
var Strict = sync.OnceValue(func() *Documents { return load(true) })

// AsPublished are the documents as other programs have them.
var AsPublished = sync.OnceValue(func() *Documents { return load(false) })

func load(strict bool) *Documents {
	d := &Documents{all: map[string]any{}, strict: strict, compiled: map[string]*jsonschema.Schema{}}
	d.compiler = jsonschema.NewCompiler()
	d.compiler.AssertFormat()
	d.compiler.AssertContent()
	names, err := fs.Glob(api.Documents, "*.json")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		text, err := api.Documents.ReadFile(name)
		if err != nil {
			panic(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		if strict {
			tighten(document)
		}
		d.all[name] = document
		if err := d.compiler.AddResource(base+name, document); err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
	}
	return d
}

// tighten closes every object whose members are named, and every set of words.
func tighten(node any) {
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			tighten(child)
		}
	case map[string]any:
		_, named := node["properties"].(map[string]any)
		if _, said := node["additionalProperties"]; named && !said && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		if words, ok := node["x-extensible-enum"]; ok {
			node["enum"] = words
		}
		for _, child := range node {
			tighten(child)
		}
	}
}

// Document is one of them by its file name.
func (d *Documents) Document(name string) map[string]any { return d.all[name].(map[string]any) }

// At is what a pointer such as openapi.json#/components/schemas/Entry refers to, and nil if there is nothing.
func (d *Documents) At(ref string) any {
	name, pointer, _ := strings.Cut(ref, "#")
	node := d.all[name]
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if part == "" {
			continue
		}
		members, _ := node.(map[string]any)
		node = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return node
}

// pointer is a part of a JSON pointer.
func pointer(part string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(part) }

// schema compiles one by its reference.
func (d *Documents) schema(ref string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.compiled[ref]; s != nil {
		return s, nil
	}
	name, fragment, _ := strings.Cut(ref, "#")
	s, err := d.compiler.Compile(base + name + "#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(fragment))
	if err == nil {
		d.compiled[ref] = s
	}
	return s, err
}

// Validate says what is wrong with a JSON document by the schema of that reference.
func (d *Documents) Validate(ref string, document []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return d.validate(ref, value)
}

func (d *Documents) validate(ref string, value any) error {
	s, err := d.schema(ref)
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// Check fails the test if the document is not as the schema of that reference says.
func (d *Documents) Check(t testing.TB, ref string, document []byte) {
	t.Helper()
	if err := d.Validate(ref, document); err != nil {
		t.Errorf("not as %s says: %v\n%.2000s", ref, err, document)
	}
}

// CheckValue is Check of what v is as JSON.
func (d *Documents) CheckValue(t testing.TB, ref string, v any) {
	t.Helper()
	document, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d.Check(t, ref, document)
}
