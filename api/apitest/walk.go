package apitest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// each calls fn with every object of a document, and the reference to it.
func (d *Documents) each(ref string, node any, fn func(ref string, object map[string]any)) {
	switch node := node.(type) {
	case []any:
		for i, child := range node {
			d.each(ref+"/"+strconv.Itoa(i), child, fn)
		}
	case map[string]any:
		fn(ref, node)
		for key, child := range node {
			if key != "example" && key != "examples" {
				d.each(ref+"/"+pointer(key), child, fn)
			}
		}
	}
}

// EachRef calls fn with what each $ref of a document refers to.
func (d *Documents) EachRef(name string, fn func(to string)) {
	d.each(name+"#", d.all[name], func(_ string, object map[string]any) {
		to, ok := object["$ref"].(string)
		switch {
		case !ok:
		case strings.HasPrefix(to, "#"):
			fn(name + to)
		default:
			fn(to)
		}
	})
}

// CheckExamples holds every example of a document to the schema that it stands in or beside, and returns how many
// there are.
func (d *Documents) CheckExamples(t testing.TB, name string) (found int) {
	t.Helper()
	d.each(name+"#", d.all[name], func(ref string, object map[string]any) {
		schema := ref
		if object["schema"] != nil {
			schema += "/schema"
		}
		examples, _ := object["examples"].([]any)
		if example, ok := object["example"]; ok {
			examples = append(slices.Clone(examples), example)
		}
		for _, example := range examples {
			if message, ok := example.(map[string]any); ok && object["payload"] != nil { // of AsyncAPI
				found += d.checkMessage(t, ref, message)
				continue
			}
			found++
			if err := d.validate(schema, example); err != nil {
				t.Errorf("an example of %s: %v", schema, err)
			}
		}
	})
	return found
}

// checkMessage holds an example of a message's to the schemas of its headers and payload.
func (d *Documents) checkMessage(t testing.TB, ref string, example map[string]any) (found int) {
	t.Helper()
	for _, part := range []string{"headers", "payload"} {
		if value, ok := example[part]; ok {
			found++
			if err := d.validate(ref+"/"+part+"/schema", value); err != nil {
				t.Errorf("an example's %s of %s: %v", part, ref, err)
			}
		}
	}
	return found
}

// Equal reports whether two parts of documents are the same JSON.
func Equal(a, b any) bool {
	left, err := json.Marshal(a)
	right, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(left) == string(right)
}
