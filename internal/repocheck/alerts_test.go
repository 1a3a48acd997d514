package repocheck

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// promtool runs Prometheus' own tool on rules and their tests.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("the alert rules are tested with promtool, which is in the Debian package prometheus")
	}
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRules(t *testing.T) {
	promtool(t, "check", "rules", alertRules)
	promtool(t, append([]string{"test", "rules"}, ruleTests(t)...)...)
}

func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("deploy/prometheus/tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the rules: %v", err)
	}
	return files
}

var alertTest = regexp.MustCompile(
	`(?s)alertname="(\w+)",alertstate="firing"\}\s+eval_time: \w+\s+exp_samples:( \[\])?`)

// TestAlertsAreComplete: every alert says how bad it is, what is the matter, where to look and what to do, and is
// tested both to fire and to stay silent.
func TestAlertsAreComplete(t *testing.T) {
	fires, silent := make(map[string]bool), make(map[string]bool)
	for _, file := range ruleTests(t) {
		for _, m := range alertTest.FindAllStringSubmatch(readText(t, file), -1) {
			if m[2] == "" {
				fires[m[1]] = true
			} else {
				silent[m[1]] = true
			}
		}
	}
	web := "https://" + only(t, "go.mod", `^module (\S+)$`) + "/src/branch/main/" // as the forge shows a file
	for _, a := range alerts(t) {
		for _, key := range []string{"expr", "summary", "description", "look", "action"} {
			if a.values[key] == "" {
				t.Errorf("%s has no %s", a.name, key)
			}
		}
		if s := a.values["severity"]; !slices.Contains([]string{"critical", "warning", "info"}, s) {
			t.Errorf("%s has severity %q", a.name, s)
		}
		if want := web + runbook + "#" + strings.ToLower(a.name); a.values["runbook_url"] != want {
			t.Errorf("%s has the runbook %s, want %s", a.name, a.values["runbook_url"], want)
		}
		if !fires[a.name] || !silent[a.name] {
			t.Errorf("%s is tested to fire: %v, to stay silent: %v", a.name, fires[a.name], silent[a.name])
		}
	}
}
