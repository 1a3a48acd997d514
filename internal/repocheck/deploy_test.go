package repocheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// What is in deploy/ and .gitea/ cannot run in a test, but must not contradict itself or the program. That the YAML
// files are valid is for `make lint`.

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// only is the single match's group of a pattern.
func only(t *testing.T, path, pattern string) string {
	t.Helper()
	matches := regexp.MustCompile("(?m)"+pattern).FindAllStringSubmatch(contents(t, path), -1)
	if len(matches) != 1 {
		t.Fatalf("%s: %d matches of %s, want one", path, len(matches), pattern)
	}
	return matches[0][1]
}

const (
	dockerfilePath = "deploy/Dockerfile"
	composePath    = "deploy/compose.yaml"
	transportsPath = "deploy/compose.transports.yaml"
	kafkaPath      = "deploy/compose.kafka.yaml"
	jetStreamPath  = "deploy/compose.jetstream.yaml"
	postgresPath   = "deploy/compose.postgres.yaml"
	sentinelPath   = "deploy/compose.sentinel.yaml"
	observePath    = "deploy/compose.observability.yaml"
	unitPath       = "deploy/systemd/tcp-ingestion.service"
	forwardPath    = "deploy/systemd/tcp-ingestion-forward.service"
	envPath        = "deploy/systemd/tcp-ingestion.env.example"
	workflowPath   = ".gitea/workflows/ci.yaml"
)

// shutdownTimeout is the default of SHUTDOWN_TIMEOUT_MS.
func shutdownTimeout(t *testing.T) time.Duration {
	t.Helper()
	c, err := config.Load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return c.ShutdownTimeout
}

// TestStopTimeouts: whoever stops the service waits longer than the service itself does.
func TestStopTimeouts(t *testing.T) {
	grace := regexp.MustCompile(`stop_grace_period: (\S+)`).FindStringSubmatch(service(t, "tcp-ingestion"))
	compose, err := time.ParseDuration(grace[1])
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.Atoi(only(t, unitPath, `^TimeoutStopSec=(\d+)$`))
	if err != nil {
		t.Fatal(err)
	}
	systemd := time.Duration(seconds) * time.Second
	for name, limit := range map[string]time.Duration{"compose": compose, "systemd": systemd} {
		if limit < shutdownTimeout(t)+5*time.Second {
			t.Errorf("%s kills after %v, the service gives up after %v", name, limit, shutdownTimeout(t))
		}
	}
}

// TestSettingsExist: every setting named is one.
func TestSettingsExist(t *testing.T) {
	known := map[string]bool{config.FileVariable: true}
	for _, s := range config.Settings {
		known[s.Name] = true
	}
	for path, pattern := range map[string]string{
		dockerfilePath: `(?m)^ENV ([A-Z_]+)=`,
		envPath:        `(?m)^#?([A-Z_]+)=`,
		unitPath:       `(?m)^Environment=([A-Z_]+)=`,
		forwardPath:    `(?m)^Environment=([A-Z_]+)=`,
		transportsPath: `(?m)^      ([A-Z_]+): `,
	} {
		names := regexp.MustCompile(pattern).FindAllStringSubmatch(contents(t, path), -1)
		if len(names) == 0 {
			t.Errorf("%s names no setting", path)
		}
		for _, n := range names {
			if !known[n[1]] {
				t.Errorf("%s: %s is no setting", path, n[1])
			}
		}
	}
	_, block, _ := strings.Cut(service(t, "tcp-ingestion"), "    environment:\n")
	names := regexp.MustCompile(`(?m)^      ([A-Z_]+):`).FindAllStringSubmatch(block, -1)
	if len(names) == 0 {
		t.Error("compose names no setting")
	}
	for _, n := range names {
		if !known[n[1]] {
			t.Errorf("%s: %s is no setting", composePath, n[1])
		}
	}
}

// service is a service's part of the compose file.
func service(t *testing.T, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(contents(t, composePath), "\n  "+name+":\n")
	if !found {
		t.Fatalf("no service %s", name)
	}
	if end := regexp.MustCompile(`\n( {2})?\w`).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

func TestCompose(t *testing.T) {
	for _, name := range []string{"tcp-ingestion", "redis"} {
		for _, want := range []string{
			"restart: unless-stopped", "read_only: true", "cap_drop: [ALL]", `security_opt: ["no-new-privileges:true"]`,
			"healthcheck:", "nofile:", "stop_grace_period:", "logging: *logging",
		} {
			if !strings.Contains(service(t, name), "\n    "+want) && !strings.Contains(service(t, name), "\n      "+want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
		user := regexp.MustCompile(`\n    user: "(\d+):\d+"`).FindStringSubmatch(service(t, name))
		if user == nil || user[1] == "0" {
			t.Errorf("%s has user %v", name, user)
		}
	}
	for _, want := range []string{
		"--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction", "redis:/data",
	} {
		if !strings.Contains(service(t, "redis"), want) {
			t.Errorf("redis has no %s", want)
		}
	}
	if strings.Contains(service(t, "redis"), "ports:") {
		t.Error("redis is open to the outside")
	}
	if !strings.Contains(service(t, "tcp-ingestion"), "redis: {condition: service_healthy}") {
		t.Error("does not wait for redis")
	}
	version := only(t, composePath, `image: redis:(\d+\.\d+)\.\d+-`)
	if major, minor, _ := strings.Cut(version, "."); major < "7" || major == "7" && minor < "2" {
		t.Errorf("redis %s has no WAITAOF", version)
	}
}

// TestComposeSentinel: every kind of service may do no more than it has to, and haproxy's file has the addresses that
// the instances have.
func TestComposeSentinel(t *testing.T) {
	text := contents(t, sentinelPath)
	kinds := strings.Count(text, "image: ")
	for _, want := range []string{
		"restart: unless-stopped", "read_only: true", "cap_drop: [ALL]", `security_opt: ["no-new-privileges:true"]`,
		"healthcheck:", "nofile:", "stop_grace_period:", "logging: *logging", `user: "`,
	} {
		if n := strings.Count(text, want); n != kinds {
			t.Errorf("%d kinds of services, %d have %s", kinds, n, want)
		}
	}
	if strings.Contains(text, `user: "0`) {
		t.Error("runs as root")
	}
	for _, m := range regexp.MustCompile(`server \w+ (192\.0\.2\.\d+):5027`).FindAllStringSubmatch(
		contents(t, "deploy/haproxy/haproxy.cfg"), -1) {
		if !strings.Contains(text, "ipv4_address: "+m[1]) {
			t.Errorf("no instance has the address %s", m[1])
		}
	}
}

// TestNoSecretsAndNoMovingNames: passwords come from outside, and what is run is named by version or content.
func TestNoSecretsAndNoMovingNames(t *testing.T) {
	// A value that does not come from a variable, or that is a variable's default; and a password in an address.
	secret := regexp.MustCompile(`(?i)(password|token|secret|auth)\w*["']?\s*[:=]\s*["']?[^\s"'$?]` +
		`|requirepass\s+"?[^"$]|://[^\s/@]*:[^\s/@$]+@`)
	for _, path := range []string{dockerfilePath, composePath, transportsPath, kafkaPath, jetStreamPath, postgresPath,
		sentinelPath, observePath, "deploy/grafana/grafana.ini", unitPath, forwardPath, workflowPath} {
		for line := range strings.Lines(contents(t, path)) {
			if line, _, _ = strings.Cut(line, "#"); secret.MatchString(line) {
				t.Errorf("%s: is this a secret? %s", path, line)
			}
			if strings.Contains(line, ":latest") || strings.Contains(line, "@latest") {
				t.Errorf("%s: moves: %s", path, line)
			}
		}
	}
	uses := regexp.MustCompile(`(?m)uses: (\S+)`).FindAllStringSubmatch(contents(t, workflowPath), -1)
	if len(uses) == 0 {
		t.Error("no action found")
	}
	for _, use := range uses {
		if !regexp.MustCompile(`@[0-9a-f]{40}$`).MatchString(use[1]) {
			t.Errorf("%s is not pinned to a commit", use[1])
		}
	}
}

// TestOneGoVersion: what is tested is what is shipped.
func TestOneGoVersion(t *testing.T) {
	shipped := only(t, dockerfilePath, `^FROM .*golang:(\d+\.\d+\.\d+)-\S+ AS build$`)
	tested := regexp.MustCompile(`go-version: "(.*)"`).FindAllStringSubmatch(contents(t, workflowPath), -1)
	if len(tested) == 0 || slices.ContainsFunc(tested, func(m []string) bool { return m[1] != shipped }) {
		t.Errorf("shipped with Go %s, tested with %v", shipped, tested)
	}
	if language := only(t, "go.mod", `^go (\d+\.\d+)`); !strings.HasPrefix(shipped, language+".") {
		t.Errorf("shipped with Go %s, go.mod wants %s", shipped, language)
	}
}

// TestWorkflowScripts: what a stranger may name (a branch, a pull request's title) never becomes part of a script.
func TestWorkflowScripts(t *testing.T) {
	script := -1 // the indentation of a run: |, or -1
	for line := range strings.Lines(contents(t, workflowPath)) {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if script >= 0 && indent <= script && strings.TrimSpace(line) != "" {
			script = -1
		}
		if strings.HasPrefix(strings.TrimSpace(line), "run: ") || strings.HasPrefix(strings.TrimSpace(line), "- run: ") {
			script = indent
		}
		if script >= 0 && strings.Contains(line, "${{") {
			t.Errorf("an expression in a script: %s", line)
		}
	}
	for _, want := range []string{
		"run: .ci/run", "run: make vuln", "concurrency:", "permissions:\n  contents: read\n", "persist-credentials: false",
	} {
		if !strings.Contains(contents(t, workflowPath), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestUnit(t *testing.T) {
	for _, want := range []string{
		"Type=notify", "Restart=always", "RestartPreventExitStatus=78", "WatchdogSec=30", "LimitNOFILE=1048576",
		"StartLimitIntervalSec=0", "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'", "CapabilityBoundingSet=",
		"NoNewPrivileges=yes",
	} {
		if !strings.Contains(contents(t, unitPath), "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(contents(t, unitPath), "\nProcSubset=pid") {
		t.Error("without /proc/sys, the listener's backlog is 128")
	}
}

// newerKeys are those that systemd 252 of Debian 12 does not know yet, and says so.
var newerKeys = regexp.MustCompile(`Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)' in section \[?'?Service`)

// maxExposure is ten times what `systemd-analyze security` may give: 0 is a service that can do no harm, 100 one
// that can do all that root can.
const maxExposure = 15

func TestUnitsAreValidAndHardened(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{unitPath, forwardPath} {
		unit := filepath.Join(dir, filepath.Base(path))
		installed := strings.ReplaceAll(contents(t, path), "/usr/local/bin/tcp-ingestion", "/bin/true")
		if err := os.WriteFile(unit, []byte(installed), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := analyze(t, "verify", "--man=no", unit)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, unit) && !newerKeys.MatchString(line) {
				t.Error(line)
			}
		}
		out, err = analyze(t, "security", "--no-pager", "--offline=yes", "--threshold="+strconv.Itoa(maxExposure), unit)
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("the unit is checked by systemd-analyze and there is none: apt-get install systemd")
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	return string(out), err
}
