package admin

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

var example = regexp.MustCompile(`(?m)^//\t\$ curl (.*)\n//\t(\d+) (.*(?:\n//\t {5}.*)*)`)

// TestExamples does what the package's documentation shows, and compares with what it says comes of it.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.ReplaceAll(string(text), " \\\n//\t   ", "") // lines that go on
	letters, _ := desk(t, buried(t, present, true), buried(t, present, false))
	records := shelf{published(
		`,"signals":{"external.powersource.voltage":24.1},"device":{"family":"fmb","by":"map"},"dict":"2026.11"`)}
	s := start(t, Options{DeadLetters: letters, Records: records})
	examples := example.FindAllStringSubmatch(doc, -1)
	if n := strings.Count(doc, "\t$ curl "); len(examples) != n || n < 10 {
		t.Fatalf("%d examples found of %d", len(examples), n)
	}
	for _, e := range examples {
		got := s.curl(words(e[1]))
		if got.Status[:3] != e[2] {
			t.Fatalf("curl %s\n got %s %s\nwant %s %s", e[1], got.Status, got.body, e[2], e[3])
		}
		var fields map[string]any
		if err := json.Unmarshal(got.body, &fields); err != nil {
			t.Fatalf("curl %s: %v", e[1], err)
		}
		for _, name := range fieldNames.FindAllStringSubmatch(e[3], -1) {
			if !strings.Contains(string(got.body), `"`+name[1]+`":`) {
				t.Errorf("curl %s: no %s in %s", e[1], name[1], got.body)
			}
		}
		for _, name := range fieldNames.FindAllStringSubmatch(string(got.body), -1) {
			if !strings.Contains(e[3], `"`+name[1]+`":`) && !strings.Contains(e[3], "…}") {
				t.Errorf("curl %s: %s is not shown in %s", e[1], name[1], e[3])
			}
		}
	}
}

var fieldNames = regexp.MustCompile(`"([a-z_]+)":`)

// curl does what the program of that name does with such arguments.
func (r *running) curl(args []string) answer {
	method, body, path := "GET", "", ""
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--json":
			i++
			method, body = "POST", args[i]
		case "-X":
			i++
			method = args[i]
		default:
			path = strings.TrimPrefix(args[i], "http://127.0.0.1:9091")
		}
	}
	return r.ask(method, path, body)
}

// words splits as a shell does, as far as single quotes go.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// TestFieldsAreDocumented: what a request may have is in the documentation, in the structure and in the decoder.
func TestFieldsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	filled := `{"id":"x","command":"x","hex":"x","codec":12,"timeout_ms":1,"expires_at":"x","expires_in_ms":1,` +
		`"idempotent":true,"confirm":true,"wait_ms":1}`
	r, wrong, err := readRequest([]byte(filled))
	if err != nil || len(wrong) > 0 {
		t.Fatal(wrong, err)
	}
	again, err := json.Marshal(r)
	if err != nil || string(again) != filled {
		t.Errorf("%s, %v", again, err)
	}
	for _, name := range fieldNames.FindAllStringSubmatch(filled, -1) {
		if !regexp.MustCompile(`(?m)^//\t` + name[1] + ` +\S`).Match(doc) {
			t.Errorf("%s is not documented", name[1])
		}
	}
}
