package config

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var commentedOut = regexp.MustCompile(`(?m)^#([A-Z])`)

// TestExample: the file has every setting, and means the same with all lines in force as with none.
func TestExample(t *testing.T) {
	example := Example()
	f := parseFile("f", []byte(commentedOut.ReplaceAllString(example, "$1")))
	if len(f.problems.all) > 0 || len(f.found) != len(Settings) {
		t.Errorf("%d settings of %d, %v", len(f.found), len(Settings), f.problems)
	}
	for _, file := range []*File{f, parseFile("f", []byte(example))} {
		c, err := Gather(file, map[string]string{"INSTANCE_ID": "a"}).Load()
		want, _ := Gather(nil, map[string]string{"INSTANCE_ID": "a"}).Load()
		if err != nil || *c != *want {
			t.Errorf("%v:\n got %+v\nwant %+v", err, c, want)
		}
	}
	for line := range strings.Lines(example) {
		if len(line) > 121 || line != "\n" && line[0] != '#' {
			t.Errorf("line %q", line)
		}
	}
}

// TestShow: what is shown is in force again when it is read, with its places, and without secrets.
func TestShow(t *testing.T) {
	var secrets []string
	file := "DATA_DIR: \"it's a: #1 \\x1b[31m\\\\\"\n" +
		"REDIS_TELEMETRY_STREAM: '  *a'\nKAFKA_GROUPS: [a, b]\nTLS_MIN_VERSION: 1.3\n"
	for i := range Settings {
		s := &Settings[i]
		switch {
		case !s.Secret:
			continue
		case len(secrets)%2 == 0:
			file += s.Name + ": '" + goodSecrets[s.Name] + "'\n"
		default:
			file += s.File() + ": " + write(t, "secret", 0o600, goodSecrets[s.Name]) + "\n"
		}
		secrets = append(secrets, s.Name)
	}
	v := Gather(parseFile("dir/\n\x1b", []byte(file)), nil)
	if len(v.problems.all) > 0 {
		t.Fatal(v.problems)
	}
	shown := v.Show()
	if strings.Contains(shown, "hunter2") || strings.ContainsRune(shown, '\x1b') {
		t.Error(shown)
	}
	for _, line := range []string{`DATA_DIR: "it's a: #1 \x1b[31m\\"  # dir/\n\x1b:1`, "#UDP_PORT:",
		`REDIS_TELEMETRY_STREAM: '*a'  # dir/\n\x1b:2`, "METRICS_PORT: 9090", "#" + secrets[0] + `: (hidden)  # dir/\n\x1b:5`,
		"#" + secrets[1] + ": (hidden)  # " + secrets[1] + "_FILE"} {
		if !slices.Contains(strings.Split(shown, "\n"), line) {
			t.Errorf("no line %s in\n%s", line, shown)
		}
	}
	again := Gather(parseFile("f", []byte(shown)), nil)
	for i := range Settings {
		if s := &Settings[i]; !s.Secret && again.Of(s.Name).Value != v.Of(s.Name).Value {
			t.Errorf("%s: %q, want %q", s.Name, again.Of(s.Name).Value, v.Of(s.Name).Value)
		}
	}
}
