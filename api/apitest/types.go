package apitest

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// CheckType fails the test if a Go type's JSON has not the members that the schema of that reference names, each of the
// type and as optional as there; and so with the types of its members.
func (d *Documents) CheckType(t testing.TB, ref string, of reflect.Type) {
	t.Helper()
	c := typeCheck{d, t, map[reflect.Type]bool{}}
	c.check(ref, d.At(ref), of)
}

type typeCheck struct {
	d    *Documents
	t    testing.TB
	seen map[reflect.Type]bool
}

// resolve follows a reference within the document of ref.
func (c *typeCheck) resolve(ref string, node any) (string, map[string]any) {
	schema, _ := node.(map[string]any)
	if to, ok := schema["$ref"].(string); ok {
		file, _, _ := strings.Cut(ref, "#")
		return c.resolve(file+to, c.d.At(file+to))
	}
	return ref, schema
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	number        = reflect.TypeFor[json.Number]()
	raw           = reflect.TypeFor[json.RawMessage]()
)

func (c *typeCheck) check(ref string, node any, of reflect.Type) {
	c.t.Helper()
	ref, schema := c.resolve(ref, node)
	if schema == nil {
		c.t.Errorf("%s: there is no schema for %s", ref, of)
		return
	}
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch want := jsonType(of); {
	case want == "" || schema["type"] == nil: // anything
	case !has(schema["type"], want):
		c.t.Errorf("%s: type %v, but %s is a %s", ref, schema["type"], of, want)
		return
	case want == "array" && schema["prefixItems"] != nil: // each of a type of its own
	case want == "array":
		c.check(ref+"/items", schema["items"], of.Elem())
	case of.Kind() == reflect.Map:
		if values, ok := schema["additionalProperties"].(map[string]any); ok {
			c.check(ref+"/additionalProperties", values, of.Elem())
		}
	case want == "object" && !c.seen[of]:
		c.seen[of] = true
		c.members(ref, schema, of)
	}
}

func has(types any, want string) bool {
	all, several := types.([]any)
	if !several {
		all = []any{types}
	}
	return slices.Contains(all, any(want)) || want == "integer" && slices.Contains(all, any("number"))
}

// jsonType is what values of the type are as JSON, empty if that is not known.
func jsonType(of reflect.Type) string {
	switch {
	case of == raw || of.Kind() == reflect.Interface:
		return ""
	case of == number:
		return "number"
	case of == reflect.TypeFor[time.Time](), of.Implements(marshaler), of.Implements(textMarshaler):
		return "string"
	}
	switch of.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice, reflect.Array:
		if of.Elem().Kind() == reflect.Uint8 {
			return "string" // base64
		}
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	}
	return "integer"
}

// member is a field as JSON.
type member struct {
	of       reflect.Type
	optional bool
}

func (c *typeCheck) members(ref string, schema map[string]any, of reflect.Type) {
	fields := map[string]member{}
	addFields(fields, of, false)
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for name := range properties {
		if _, ok := fields[name]; !ok {
			c.t.Errorf("%s: %s has no member %s", ref, of, name)
		}
	}
	for name, field := range fields {
		property, ok := properties[name]
		if !ok {
			c.t.Errorf("%s: member %s of %s is not in the document", ref, name, of)
			continue
		}
		if slices.Contains(required, any(name)) == field.optional {
			c.t.Errorf("%s: member %s of %s: optional %v", ref, name, of, field.optional)
		}
		c.check(ref+"/properties/"+name, property, field.of)
	}
}

// addFields adds the fields of a struct, and of those embedded in it.
func addFields(all map[string]member, of reflect.Type, optional bool) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := f.Type
		if f.Anonymous && name == "" {
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			addFields(all, embedded, optional || f.Type.Kind() == reflect.Pointer)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		all[name] = member{f.Type, optional || strings.Contains(options, "omit")}
	}
}
