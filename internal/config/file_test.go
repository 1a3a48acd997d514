package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongFiles: each problem is told with its line and what to do, and nothing of a value that may be a secret.
func TestWrongFiles(t *testing.T) {
	const all = "; config example prints them all"
	const mend = "; write one NAME: value a line, with ' before and after a value that has special characters"
	for text, want := range map[string]string{
		"TELTONIKA_PORT: x":                   `TELTONIKA_PORT (f:1): "x": use a whole number from 0 to 65535, or off`,
		"\nREDIS_ULR: x":                      "REDIS_ULR (f:2): is no setting (did you mean REDIS_URL?)" + all,
		"redis-url: x":                        "redis-url (f:1): is no setting (did you mean REDIS_URL?)" + all,
		"wholly different name of a thing: 1": `"wholly different name of a thing" (f:1): is no setting` + all,
		"redis:\n  url: x": "redis (f:1): has settings below it; " +
			"write each by its whole name, on a line not indented",
		"LOG_LEVEL: info\nLOG_LEVEL: info": "LOG_LEVEL (f:2): is set before, in f:1; leave one out",
		"LOG_LEVEL: {a: b}": "LOG_LEVEL (f:1): has settings below it or begins with {; use one value, " +
			"with ' before and after it if it begins so",
		"LOG_LEVEL: [info]": "LOG_LEVEL (f:1): is a list; use one value",
		"KAFKA_GROUPS: [a, [b]]": "KAFKA_GROUPS (f:1): has more than a value in an entry of its list; " +
			"use one value for each entry",
		"KAFKA_GROUPS:\n- a\n- &b c": "KAFKA_GROUPS (f:2): has an entry that begins with *, & or !; " +
			"write ' before and after it",
		"ADMIN_TOKEN: &hunter2 x": "ADMIN_TOKEN (f:1): begins with *, & or !; write ' before and after it",
		"ADMIN_TOKEN: !hunter2 x": "ADMIN_TOKEN (f:1): begins with *, & or !; write ' before and after it",
		"ADMIN_TOKEN: *hunter2":   "CONFIG_FILE (f:1): is not YAML: a value begins with * or &" + mend,
		"ADMIN_TOKEN: {hunter2}": "ADMIN_TOKEN (f:1): has settings below it or begins with {; use one value, " +
			"with ' before and after it if it begins so",
		"ADMIN_TOKEN: @hunter2":   "CONFIG_FILE (f:1): is not YAML: found character that cannot start any token" + mend,
		"ADMIN_TOKEN: 'hunter2":   "CONFIG_FILE (f:1): is not YAML: found unexpected end of stream" + mend,
		"ADMIN_TOKEN: a: hunter2": "CONFIG_FILE (f:1): is not YAML: mapping values are not allowed in this context" + mend,
		"ADMIN_TOKEN: hunter2": "ADMIN_TOKEN (f:1): use at least 16 random characters of visible ASCII, " +
			"such as those of: openssl rand -hex 32",
		"A: 1\nADMIN_TOKEN":  "CONFIG_FILE (f:2): is not YAML: could not find expected ':'" + mend,
		"X: \x00":            "CONFIG_FILE (f): is not YAML: control characters are not allowed (value: 0)" + mend,
		"X: \xff":            "CONFIG_FILE (f): is not YAML: invalid leading UTF-8 octet (value: 255)" + mend,
		"- LOG_LEVEL: info":  "CONFIG_FILE (f:1): is no list of settings; write one a line, as in TELTONIKA_PORT: 5027",
		"a\n---\nb":          "CONFIG_FILE (f:2): is a second document; leave out the --- before it",
		"? [a]\n: b":         "CONFIG_FILE (f:1): a name of a setting is expected" + mend,
		"<<: {LOG_LEVEL: x}": `"<<" (f:1): has settings below it; write each by its whole name, on a line not indented`,
		"ENGINE: redis":      "REDIS_URL: not set, but ENGINE is redis; set it to redis://host:6379, or ENGINE to embedded",
		"ADMIN_TOKEN: 0123456789abcdef\nADMIN_TOKEN_FILE: /x": "ADMIN_TOKEN (f:1): set, and ADMIN_TOKEN_FILE too (f:2); " +
			"leave one out",
		"MIRROR_BUFFER_BYTES: 5000000\nMAX_FRAME_BYTES: 16000000": "MIRROR_BUFFER_BYTES (f:1): 5000000 is below 16 times " +
			"MAX_FRAME_BYTES (16000000), so the largest frames are never mirrored; raise it or lower the other",
	} {
		if strings.HasPrefix(text, "MIRROR_BUFFER") {
			text += "\nMIRROR: old.example:5027"
		}
		_, err := Gather(parseFile("f", []byte(text)), nil).Load()
		if err == nil || err.Error() != "invalid settings:\n  "+want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestFileThatCannotBeRead: it is told with what is wrong elsewhere, and with nothing that only follows from it.
func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	large := write(t, "large", 0o600, strings.Repeat("#", maxFileBytes+1))
	environment := Environment(func(name string) (string, bool) {
		value, set := map[string]string{"ENGINE": "redis", "UDP_PORT": "x"}[name]
		return value, set
	})
	for path, what := range map[string]string{
		dir + "/none": "stat " + dir + "/none: no such file or directory", dir: dir + " is not a regular file",
		large: large + " has more than 1048576 bytes",
	} {
		_, err := Gather(ReadFile(path), nil, environment).Load()
		want := fmt.Sprintf("invalid settings:\n  CONFIG_FILE (%s): %s; name a file of settings that this user may read\n"+
			"  UDP_PORT (environment): \"x\": use a whole number from 0 to 65535, or off", path, what)
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// TestManyProblemsAreCut: a file that is something else altogether is soon given up.
func TestManyProblemsAreCut(t *testing.T) {
	f := parseFile("f", []byte(strings.Repeat("REDIS_URK: 1\n", maxFileBytes/14)))
	n := len(f.problems.all)
	if last := f.problems.all[n-1]; n != maxProblems+1 || !strings.Contains(last.Text, "not read from here on") {
		t.Errorf("%d problems, the last one %v", n, last)
	}
}

func TestFileValues(t *testing.T) {
	c, err := Gather(parseFile("f", []byte(`
# A comment.
TELTONIKA_PORT: 5028
TLS_PORT: off
RECORD_RAW: true
IDLE_TIMEOUT: 90s
TLS_MIN_VERSION: 1.3
KAFKA_BROKERS:
  - kafka-1:9092
  - kafka-2:9092
KAFKA_GROUPS: one, two
BIND_ADDRESS: ["127.0.0.1", '::1']
DATA_DIR: >
  /var/lib/x
REDIS_URL: redis://u:a@h # a comment
ADMIN_ADDRESS:
LOG_FORMAT: ~
`)), nil).Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.TeltonikaPort != 5028 || c.TLSPort != portOff || !c.RecordRaw || c.IdleTimeout.Seconds() != 90 ||
		c.Kafka.Brokers != "kafka-1:9092,kafka-2:9092" || c.Kafka.Groups != "one,two" || c.BindAddress != "127.0.0.1,::1" ||
		c.DataDir != "/var/lib/x" || c.RedisURL != "redis://u:a@h" || c.AdminAddress != "" || c.TLSMinVersion != "1.3" {
		t.Errorf("%+v", c)
	}
	for _, nothing := range []string{"", "# only a comment\n", "---\n", "---\n# x\n...\n"} {
		if _, err := Gather(parseFile("f", []byte(nothing)), nil).Load(); err != nil {
			t.Errorf("%q: %v", nothing, err)
		}
	}
}

// TestPrecedence: flag, environment, file, what a command stands in, default; whoever is first counts.
func TestPrecedence(t *testing.T) {
	source := func(from string, values map[string]string) Source {
		return func(s *Setting) (Found, bool) {
			value, ok := values[s.Name]
			return Found{value, from}, ok
		}
	}
	flags := source("flag", map[string]string{"LOG_LEVEL": "debug", "DATA_DIR": ""})
	environment := Environment(func(name string) (string, bool) {
		value, set := map[string]string{"LOG_LEVEL": "info", "UDP_PORT": "1", "KAFKA_TOPIC": " ", "DATA_DIR": "/env",
			"ADMIN_ADDRESS": ""}[name]
		return value, set
	})
	file := parseFile("f", []byte("LOG_LEVEL: error\nUDP_PORT: 2\nTLS_PORT: 3\nKAFKA_TOPIC: four\nDATA_DIR: /file\n"+
		"ADMIN_ADDRESS: 127.0.0.1:5"))
	v := Gather(file, map[string]string{"TLS_PORT": "6", "METRICS_PORT": "7", "DATA_DIR": "/instead"}, flags, environment)
	for name, want := range map[string]Found{
		"LOG_LEVEL": {"debug", "flag"}, "UDP_PORT": {"1", "environment"}, "TLS_PORT": {"3", "f:3"},
		"KAFKA_TOPIC": {"four", "f:4"}, "METRICS_PORT": {"7", ""}, "DATA_DIR": {"/instead", ""},
		"ADMIN_ADDRESS": {"off", "environment"}, "LOG_FORMAT": {"", ""}, "ENGINE": {"", ""}, "MAX_FRAME_BYTES": {"65536", ""},
	} {
		if got := v.Of(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func write(t *testing.T, name string, mode os.FileMode, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// FuzzFile: no file ends the process, shows the value of a secret or takes more settings than there are.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"TELTONIKA_PORT: 5027\nKAFKA_BROKERS: [a:1, b:2]\n", "a: &x [*x, *x]\n", "a: !!binary aGk=\n---\nb", "? [x]\n: {y}\n",
		"<<: {a: b}\n", "%YAML 1.1\n---\n- |\n x\n", "\ufeffLOG_LEVEL: \"\\x41\"\n", "{{{{[[[[",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := parseFile("f", []byte(text))
		if len(file.problems.all) != len(file.problems.from) || len(file.problems.all) > maxProblems+1 ||
			len(file.found) > len(Settings) {
			t.Errorf("%d problems, %d places, %d settings", len(file.problems.all), len(file.problems.from), len(file.found))
		}
		for _, p := range file.problems.all {
			if len(p.Setting) > 4*70 || strings.ContainsAny(p.Setting+p.Text, "\n\x1b") {
				t.Errorf("%q", p)
			}
		}
	})
}
