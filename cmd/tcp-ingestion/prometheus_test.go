package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// onlyAfterFaults are queries that have no series while all is well. The tests of the rules have series for them.
var onlyAfterFaults = []string{
	`ALERTS{alertname=~"Ingestion.*",alertstate="firing"}`,
	`telemetry_engine_info{class="memory"}`,
}

// TestQueriesFindSeries runs every query of the dashboard, the alerts and the pages on a real Prometheus with the
// configuration that is delivered, which scrapes a service under load and a forward. What nobody exports, and a label
// value that there is not, has no series.
func TestQueriesFindSeries(t *testing.T) {
	s, f, redis := everything(t)
	p := scraping(t, s, f)
	startFleet(t, s.devices, 5, moderate)
	await := func(query string) {
		testkit.Eventually(t, query, func() bool { n, err := p.Query(query); return err == nil && n > 0 })
	}
	await(`rate(teltonika_records_published_total[1m]) > 0`)
	await(`rate(forward_delivered_records_total[1m]) > 0`)
	redis.Do("CONFIG", "SET", "maxmemory", "1mb")         // is reached at once
	defer redis.Do("CONFIG", "SET", "maxmemory", "200mb") // for the fleet to end
	await(`telemetry_engine_out_of_memory == 1 and on (instance) telemetry_memory_exhausted_in_seconds`)
	wantHealthyRules(t, p)
	queries := dashboardQueries(t)
	for name, expression := range alertSelectors(t, p) {
		queries[name] = expression
	}
	maps.Copy(queries, pageQueries(t))
	if len(queries) < 150 {
		t.Errorf("only %d queries found", len(queries))
	}
	ruleTests := readAll(t, "../../deploy/prometheus/tests/*.yml")
	testkit.Succeeds(t, "every query finds series", patience, func() error {
		var wrong []error
		maps.DeleteFunc(queries, func(name, query string) bool {
			n, err := p.Query(query)
			if err == nil && n == 0 && !(slices.Contains(onlyAfterFaults, query) && hasSeries(ruleTests, query)) {
				err = fmt.Errorf("no series of %s", query)
			}
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
			}
			return err == nil
		})
		return errors.Join(wrong...)
	})
}

// readAll is what stands in the files.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	var all strings.Builder
	for _, path := range paths {
		all.WriteString(read(t, path))
	}
	return all.String()
}

// matcher is a label that has to have a value.
var matcher = regexp.MustCompile(`\w+="[^"]*"`)

// hasSeries reports whether a line of the tests of the rules has a series that the selector finds.
func hasSeries(tests, selector string) bool {
	name, _, _ := strings.Cut(selector, "{")
	for line := range strings.Lines(tests) {
		missing := func(m string) bool { return !strings.Contains(line, m) }
		if strings.Contains(line, name+"{") && !slices.ContainsFunc(matcher.FindAllString(selector, -1), missing) {
			return true
		}
	}
	return false
}

// scraping is a Prometheus with the delivered configuration, but for the addresses and the time between scrapes.
func scraping(t *testing.T, s, f *server) *testkit.Prometheus {
	t.Helper()
	config := strings.NewReplacer("  # - job_name", "  - job_name", "  #   ", "    ", "15s", "1s",
		"tcp-ingestion:9090", s.http, "forward:9096", f.http).Replace(read(t, "../../deploy/prometheus/prometheus.yml"))
	return testkit.StartPrometheus(t, config,
		map[string]string{"alerts.yml": read(t, "../../deploy/prometheus/alerts.yml")})
}

// wantHealthyRules waits until Prometheus has evaluated all rules, and fails for those that it could not.
func wantHealthyRules(t *testing.T, p *testkit.Prometheus) {
	t.Helper()
	unknown := func(r testkit.Rule) bool { return r.Health == "unknown" }
	testkit.Eventually(t, "all rules are evaluated", func() bool { return !slices.ContainsFunc(p.Rules(), unknown) })
	for _, r := range p.Rules() {
		if r.Health != "ok" {
			t.Errorf("%s: %s", r.Name, r.LastError)
		}
	}
}

// grafanaVariables are what stands in for Grafana's own.
var grafanaVariables = strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "1m", "$__range", "5m")

// dashboardQueries are those of the dashboard's panels, variables and annotations.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
		Templating  struct {
			List []struct {
				Name, Type string
				Query      any
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../../deploy/grafana/tcp-ingestion.json")), &d); err != nil {
		t.Fatal(err)
	}
	queries := make(map[string]string)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries["panel "+panel.Title+" "+target.RefID] = grafanaVariables.Replace(target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		queries["annotation "+a.Name] = a.Expr
	}
	labelValues := regexp.MustCompile(`^label_values\((.*), \w+\)$`)
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(v.Query.(map[string]any)["query"].(string))
		if m == nil {
			t.Fatalf("variable %s: %v", v.Name, v.Query)
		}
		queries["variable "+v.Name] = grafanaVariables.Replace(m[1])
	}
	return queries
}

// instant is a metric in an expression with its matchers, if any.
var instant = regexp.MustCompile(`\b(?:(?:teltonika|telemetry|tcp_ingestion|process|go|forward|ingestion)_\w+` +
	`|ingestion:[\w:]+|up)\b(?:\{[^}]*\})?`)

// alertSelectors are the figures that the rules are made of. The rules themselves have no series while all is well.
func alertSelectors(t *testing.T, p *testkit.Prometheus) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, r := range p.Rules() {
		for _, s := range instant.FindAllString(r.Query, -1) {
			all["rule "+r.Name+" "+s] = s
		}
	}
	return all
}

// inCode is what stands as code in a page's text.
var inCode = regexp.MustCompile("`([^`\n]+)`")

// pageQueries are the expressions that the pages give to be asked.
func pageQueries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md", "../../deploy/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, page := range pages {
			for _, m := range inCode.FindAllStringSubmatch(read(t, page), -1) {
				if instant.MatchString(m[1]) && strings.ContainsAny(m[1], `("`) && !strings.HasPrefix(m[1], "tcp-ingestion") {
					all[page+" "+m[1]] = m[1]
				}
			}
		}
	}
	return all
}

// TestMetricNames: promtool has nothing to say against a name, a unit or a help of what a server and a forward export,
// but for old names beside which new ones stand.
func TestMetricNames(t *testing.T) {
	s, f, _ := everything(t)
	for _, exporter := range []*server{s, f} {
		_, body := exporter.get("/metrics")
		lint := exec.Command("promtool", "check", "metrics")
		lint.Stdin = strings.NewReader(body)
		out, err := lint.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Fatalf("these tests run promtool: make tools (%v)", err)
		}
		there := exported(body)
		for line := range strings.Lines(string(out)) {
			name, _, _ := strings.Cut(line, " ")
			if m := there[name]; m == nil || there[m.successor()] == nil {
				t.Errorf("promtool check metrics: %s", line)
			}
		}
	}
}
