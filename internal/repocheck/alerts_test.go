package repocheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const alertRules = "deploy/prometheus/alerts.yml"

// promtool runs Prometheus' own tool on rules and their tests.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("the alert rules are tested with promtool and there is none: apt-get install --no-install-recommends prometheus")
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

var (
	alertName     = regexp.MustCompile(`(?m)^      - alert: (\w+)$`)
	alertSeverity = regexp.MustCompile(`(?m)^          severity: (critical|warning|info)$`)
	alertTest     = regexp.MustCompile(`(?s)alertname="(\w+)",alertstate="firing"\}\s+eval_time: \w+\s+exp_samples:( \[\])?`)
)

// TestAlertsAreComplete: every alert says how bad it is, what is the matter and what to do, and is tested both to
// fire and to stay silent.
func TestAlertsAreComplete(t *testing.T) {
	rules, page := readText(t, alertRules), readText(t, operations)
	onPage := anchors(page)
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
	all := alertName.FindAllStringSubmatchIndex(rules, -1)
	var names []string
	for i, m := range all {
		end := len(rules)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		name, body := rules[m[2]:m[3]], rules[m[0]:end]
		names = append(names, name)
		if !alertSeverity.MatchString(body) {
			t.Errorf("%s has no severity", name)
		}
		anchor := strings.ToLower(name)
		for _, part := range []string{"          summary: ", "          description: ", "/OPERATIONS.md#" + anchor + "\n"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s has no %q", name, strings.TrimSpace(part))
			}
		}
		if !onPage[anchor] {
			t.Errorf("%s has no entry in %s", name, operations)
		}
		if !fires[name] || !silent[name] {
			t.Errorf("%s is tested to fire: %v, to stay silent: %v", name, fires[name], silent[name])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^#+ (Ingestion\w+)$`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("%s explains %s, which is no alert", operations, m[1])
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
